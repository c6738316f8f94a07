"""Resampling: catalogs of the same distribution with unknown users and latents, under a key."""
