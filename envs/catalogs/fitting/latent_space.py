"""The latent space of items and interests: scaling blocks of numbers to it, bit-exactly.

Sums run over values on the grid, where they are exact in any order; scales that are not exact
(a standard deviation) are rounded to SCALE_DIGITS before anything is divided by them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...numerics.grid import on_grid

Floats = NDArray[np.float64]
Blocks = tuple[Floats, Floats, Floats]

VARIANCE_SHARES = (0.4, 0.2, 0.4)
"""Shares of the variance of ⟨u, z⟩ carried by text, picture and feedback-only latents."""

SCALE_DIGITS = 6
MIN_SCALE = 1e-6
ROUNDING_MARGIN = 1 + 1e-5
"""Keeps norms at most 1 after rounding to the grid."""


def standardize(values: Floats) -> Floats:
    """Zero mean and unit standard deviation along the first axis, on the grid.

    A column that does not vary becomes 0.
    """
    centred = on_grid(values)
    centred -= centred.mean(axis=0)
    spread = np.round(centred.std(axis=0), SCALE_DIGITS)
    return on_grid(centred / np.maximum(spread, MIN_SCALE))


def unit_rows(rows: Floats) -> Floats:
    """Rows (…, d) scaled to norm 1, on the grid; a row of zeros becomes the first axis."""
    on = on_grid(rows)
    square = (on * on).sum(axis=-1, keepdims=True)
    first = np.zeros(on.shape[-1])
    first[0] = 1.0
    return np.where(square > 0, on_grid(on / np.sqrt(np.where(square > 0, square, 1.0))), first)


def normalized_weights(mass: Floats) -> Floats:
    """(…, M) positive masses as weights on the grid that sum to 1; the first absorbs rounding."""
    on = on_grid(mass)
    weights = on_grid(on / on.sum(axis=-1, keepdims=True))
    weights[..., 0] += 1.0 - weights.sum(axis=-1)
    return weights


def reflect(rows: Floats, axis: Floats) -> Floats:
    """(n, k) rows reflected by the orthonormal I − 2vvᵀ/(vᵀv) of Householder (1958), v (k).

    Bit-exact, unlike a QR factorization, which depends on the machine's LAPACK.
    """
    on, v = on_grid(rows), on_grid(axis)
    along = (on * v).sum(axis=1, keepdims=True)
    return on_grid(on - along * (2.0 / (v * v).sum()) * v)


def combine_blocks(items: Blocks, tastes: Blocks) -> tuple[Floats, Floats]:
    """Join text, picture and feedback blocks into z (n, d) and anchors (U, M, d), on the grid.

    items   three blocks (n, k); tastes: three blocks (U, M, k)

    Each block is centred and scaled so that its scores ⟨u, z⟩ over all pairs carry its share of
    VARIANCE_SHARES; then z is scaled to norm ≤ 1 and every anchor to norm 1. With z centred the
    variance of the scores is ⟨E uuᵀ, E zzᵀ⟩, so that no table of pairs is needed.
    """
    units = [unit_rows(block) for block in tastes]
    scaled = []
    for block, taste, share in zip(items, units, VARIANCE_SHARES, strict=True):
        centred = on_grid(block)
        centred -= centred.mean(axis=0)
        rows = taste.reshape(-1, taste.shape[-1])
        variance = (rows.T @ rows / len(rows) * (centred.T @ centred / len(centred))).sum()
        spread = np.round(np.sqrt(max(variance, 0.0)), SCALE_DIGITS)
        centred *= np.round(np.sqrt(share) / max(spread, MIN_SCALE), SCALE_DIGITS)
        scaled.append(centred)
    z = on_grid(np.hstack(scaled))
    longest = np.sqrt(max(float((row * row).sum(axis=1).max()) for row in _chunks(z)))
    z /= np.ceil(longest * ROUNDING_MARGIN / MIN_SCALE) * MIN_SCALE
    return on_grid(z), unit_rows(np.concatenate(units, axis=-1))


def _chunks(rows: Floats, size: int = 65536) -> list[Floats]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
