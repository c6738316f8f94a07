"""Array types that the simulator's modules share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Words = NDArray[np.uint64]
"""32-bit words of a random stream, or 64-bit seeds."""
Units = NDArray[np.int32]
"""Fixed-point numbers, counted in multiples of `grid.GRID`; their dot products are integer sums."""
