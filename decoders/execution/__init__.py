"""How a model reads texts: passes over what is new, caches of what was read, who shares a pass."""
