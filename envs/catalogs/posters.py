"""Posters: a 64 × 64 picture of every item, rendered from its visual latent and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..numerics.grid import on_grid
from .poster_format import POSTER_SIZE, STYLE_DIMENSIONS

CONTRAST = 0.46
GAIN = 0.4
CHUNK = 256

StyleLookup = Callable[[str], NDArray[np.float64]]
"""From a catalog's name to the visual latents (n, 8) of its items."""

_lookup: StyleLookup


def set_style_lookup(lookup: StyleLookup) -> None:
    """Install the function by which posters find their latents; `load` does so on import."""
    global _lookup
    _lookup = lookup


@dataclass(frozen=True)
class RenderedPosters:
    """The posters of the catalog called `catalog`, rendered when they are indexed.

    Holds no latent, so that the public half of a catalog leads to none: rendering asks the
    installed lookup for them.
    """

    catalog: str
    size: int
    fingerprint: ClassVar[str] = "drawn/2"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As that of the array they stand for."""
        return self.size, POSTER_SIZE, POSTER_SIZE, 3

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        """One poster (64, 64, 3) for an integer, (…, 64, 64, 3) for a slice or an array."""
        mean, spread = _scale(self.catalog)
        return render(on_grid((_lookup(self.catalog)[index] - mean) / spread))


@lru_cache(maxsize=8)
def _scale(catalog: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the visual latents, rounded so that no machine differs."""
    style = _lookup(catalog)
    return style.mean(axis=0), np.maximum(np.round(style.std(axis=0), 6), 1e-6)


def render(style: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Posters (…, 64, 64, 3) uint8 for visual latents (…, 8) on the grid, of about unit variance.

    Every dimension drives one smooth pattern in one color direction, so that a linear probe
    on the pixels can read the latent back and a person can tell two posters apart.
    """
    rows = style.reshape(-1, STYLE_DIMENSIONS)
    pixels = np.empty((len(rows), POSTER_SIZE, POSTER_SIZE, 3), dtype=np.uint8)
    for start in range(0, len(rows), CHUNK):
        light = GAIN * (rows[start : start + CHUNK] @ _patterns())
        light /= np.sqrt(1 + light * light)
        pixels[start : start + CHUNK] = np.rint(255 * (0.5 + CONTRAST * light)).reshape(
            -1, POSTER_SIZE, POSTER_SIZE, 3
        )
    return pixels.reshape(*style.shape[:-1], POSTER_SIZE, POSTER_SIZE, 3)


@cache
def _patterns() -> NDArray[np.float64]:
    """(8, 64·64·3): low-frequency cosines, each with its own color direction, unit RMS."""
    t = (np.arange(POSTER_SIZE) + 0.5) / POSTER_SIZE
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
    colors = np.array(
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
    patterns: NDArray[np.float64] = shapes[:, :, :, None] * colors[:, None, None, :]
    patterns /= np.sqrt((patterns**2).mean(axis=(1, 2, 3), keepdims=True))
    return on_grid(patterns.reshape(STYLE_DIMENSIONS, -1))
