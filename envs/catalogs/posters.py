"""Posters: a picture for every item, drawn from its visual latent and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..numerics.grid import on_grid

SIZE = 64
STYLE_DIMENSIONS = 8
CONTRAST = 0.46
GAIN = 0.4
CHUNK = 256


@dataclass(frozen=True)
class DrawnPosters:
    """The posters of a catalog, known by name; pictures are drawn when they are indexed.

    Holds no latent: the drawing looks the catalog up.
    """

    catalog: str
    size: int
    fingerprint: ClassVar[str] = "drawn/2"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As that of the array they stand for."""
        return self.size, SIZE, SIZE, 3

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        """One poster (64, 64, 3) for an integer, (…, 64, 64, 3) for a slice or an array."""
        return draw(self.catalog, index)


def draw(catalog: str, index: Any) -> NDArray[np.uint8]:
    """The posters of the items `index` of a catalog by name."""
    from .load import load_data

    style = load_data(catalog).hidden.z_image[index]
    mean, spread = _scale(catalog)
    return render(on_grid((style - mean) / spread))


@lru_cache(maxsize=8)
def _scale(catalog: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the visual latents, rounded so that no machine differs."""
    from .load import load_data

    style = load_data(catalog).hidden.z_image
    return style.mean(axis=0), np.maximum(np.round(style.std(axis=0), 6), 1e-6)


def render(style: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Posters (…, 64, 64, 3) uint8 for visual latents (…, 8) on the grid, of about unit variance.

    Every dimension drives one smooth pattern in one color direction, so that a linear probe
    on the pixels can read the latent back and a person can tell two posters apart.
    """
    rows = style.reshape(-1, STYLE_DIMENSIONS)
    pixels = np.empty((len(rows), SIZE, SIZE, 3), dtype=np.uint8)
    for start in range(0, len(rows), CHUNK):
        light = GAIN * (rows[start : start + CHUNK] @ _patterns())
        light /= np.sqrt(1 + light * light)
        pixels[start : start + CHUNK] = np.rint(255 * (0.5 + CONTRAST * light)).reshape(
            -1, SIZE, SIZE, 3
        )
    return pixels.reshape(*style.shape[:-1], SIZE, SIZE, 3)


@cache
def _patterns() -> NDArray[np.float64]:
    """(8, 64·64·3): low-frequency cosines, each with its own color direction, unit RMS."""
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
