"""Posters: a picture for every item, drawn from its visual latent and from nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZE = 64
STYLE_DIMENSIONS = 8
CONTRAST = 0.46
GAIN = 0.4


def render(style: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Posters (n, 64, 64, 3) uint8 for visual latents (n, 8) of about unit variance.

    Every dimension drives one smooth pattern in one colour direction, so that a linear probe
    on the pixels can read the latent back and a person can tell two posters apart.
    """
    pixels = np.tanh(GAIN * style @ _patterns().reshape(STYLE_DIMENSIONS, -1))
    shape = (len(style), SIZE, SIZE, 3)
    return np.round(255 * (0.5 + CONTRAST * pixels)).astype(np.uint8).reshape(shape)


def _patterns() -> NDArray[np.float64]:
    """(8, 64, 64, 3): low-frequency cosines, each with its own colour direction, unit RMS."""
    t = (np.arange(SIZE) + 0.5) / SIZE
    x, y = np.meshgrid(t, t)
    shapes = np.stack(
        [
            np.ones_like(x),
            np.ones_like(x),
            np.cos(np.pi * y),
            np.cos(np.pi * x),
            np.cos(2 * np.pi * x) * np.cos(2 * np.pi * y),
            np.cos(3 * np.pi * (x + y)),
            np.cos(3 * np.pi * (x - y)),
            np.cos(2 * np.pi * np.hypot(x - 0.5, y - 0.5) * 2),
        ]
    )
    colours = np.array(
        [
            [1.0, 0.1, -1.0],
            [-0.6, 1.0, -0.4],
            [0.3, 0.3, 1.0],
            [1.0, -0.5, 0.2],
            [0.2, 1.0, 0.8],
            [1.0, 1.0, 0.2],
            [-0.4, 0.6, 1.0],
            [1.0, 0.4, 1.0],
        ]
    )
    patterns: NDArray[np.float64] = shapes[:, :, :, None] * colours[:, None, None, :]
    patterns /= np.sqrt((patterns**2).mean(axis=(1, 2, 3), keepdims=True))
    return patterns
