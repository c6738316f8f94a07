"""The engine: plays episodes with a decision source and writes them to a run directory."""
