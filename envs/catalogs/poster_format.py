"""Sizes of posters and of the visual latent that they are rendered from."""

POSTER_SIZE = 64
"""Pixels along each side."""

STYLE_DIMENSIONS = 8
"""Length of the visual latent z_image."""
