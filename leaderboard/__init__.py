"""A board that believes only what it has replayed: verification, storage, the table."""
