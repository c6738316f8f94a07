"""How users change: one file per dynamic, pure functions over a struct of arrays."""
