"""A board that believes only what it has replayed, and ranks what was played on hidden seeds."""
