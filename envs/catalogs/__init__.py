"""Catalogs: what can be recommended, and the hidden latents that make people like it."""
