"""User dynamics: one file each, pure functions over arrays with one row per user (B)."""
