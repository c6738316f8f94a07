"""Fitting: from the columns of a source to latents in one taste space."""
