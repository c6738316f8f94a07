"""What a run must survive before a board believes it."""
