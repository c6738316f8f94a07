"""Real pictures: reading image files, and reducing pixels to visual latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ..poster_format import POSTER_SIZE, STYLE_DIMENSIONS
from .latent_space import Floats, standardize

ENDINGS = (".jpg", ".jpeg", ".png")
CELLS = 16
GRAY = 128
CHUNK = 1024


def read_pictures(folder: Path, item_ids: tuple[str, ...]) -> NDArray[np.uint8] | None:
    """(n, 64, 64, 3) uint8 from ``folder/<item_id>.jpg|png``; None where no item has one.

    Items without a picture get a gray one. Raises InputError for an unreadable file.
    """
    from PIL import Image

    found = {path.stem: path for path in sorted(folder.glob("*")) if path.suffix.lower() in ENDINGS}
    if not any(name in found for name in item_ids):
        return None
    pixels = np.full((len(item_ids), POSTER_SIZE, POSTER_SIZE, 3), GRAY, dtype=np.uint8)
    for k, name in enumerate(item_ids):
        if name not in found:
            continue
        try:
            with Image.open(found[name]) as image:
                small = image.convert("RGB").resize(
                    (POSTER_SIZE, POSTER_SIZE), Image.Resampling.BOX
                )
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(
                f"{found[name]} cannot be read as a picture; replace or remove it"
            ) from error
        pixels[k] = np.asarray(small)
    return pixels


def cell_means(pixels: NDArray[np.uint8], cells: int) -> Floats:
    """(n, cells · cells · 3) mean RGB in [0, 1] of a grid of cells over square pictures."""
    n, side = len(pixels), pixels.shape[1]
    step = side // cells
    blocks = pixels.reshape(n, cells, step, cells, step, 3)
    means: Floats = blocks.mean(axis=(2, 4), dtype=np.float64).reshape(n, -1) / 255
    return means


def principal_components(pixels: NDArray[np.uint8]) -> Floats:
    """(n, 8) standardized leading principal components of the 16 × 16 cell means.

    Finer detail contributes next to nothing to the leading components of photographs. Signs are
    fixed by the largest loading.
    """
    cells = np.vstack(
        [cell_means(pixels[k : k + CHUNK], CELLS) for k in range(0, len(pixels), CHUNK)]
    )
    cells -= cells.mean(axis=0)
    _, loading = np.linalg.eigh(cells.T @ cells / len(cells))
    leading = loading[:, ::-1][:, :STYLE_DIMENSIONS]
    leading *= np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(STYLE_DIMENSIONS)])
    scores = cells @ leading
    scores[:, scores.std(axis=0) < 1e-6] = 0.0
    return standardize(scores)
