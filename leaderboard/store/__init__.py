"""Storage of a board: database tables, files, and the transactions on them."""
