"""The grid of multiples of 2⁻²⁰ on which latents and tastes lie when they are multiplied.

Sums of products of such numbers, each at most 1, are exact in float64: neither the order of
summation nor the last bits of a fit can be seen in them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GRID = 2.0**-20


def on_grid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values rounded to the nearest multiples of GRID."""
    rounded: NDArray[np.float64] = np.round(values / GRID) * GRID
    return rounded
