"""Play on hidden seeds: the server holds the world, the agent talks JSON, nobody can rehearse."""
