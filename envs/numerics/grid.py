"""Fixed-point grid: latents and tastes are multiples of 2⁻²⁰.

Sums of products of such numbers, each at most 1, are exact in float64: neither the order of
summation nor the last bits of a fit change them.
"""

from __future__ import annotations

import numpy as np

from .arrays import Floats
from .compiled import compiled

GRID = 2.0**-20


def on_grid(values: Floats) -> Floats:
    """Values rounded to the nearest multiples of GRID."""
    rounded: Floats = np.round(values / GRID) * GRID
    return rounded


@compiled
def on_grid_of(value: float) -> float:
    """`on_grid` of one number."""
    return float(np.rint(value / GRID)) * GRID
