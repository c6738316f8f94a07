"""Compiled loops over single vectors (d) on the grid: lengths, directions and rotations.

What each computes in plain NumPy stands in `dynamics.shift`; the bits are the same, because dot
products on the grid are exact in any order.
"""

from __future__ import annotations

import math

import numpy as np

from ..simulator.choice import Floats, Units
from .compiled import compiled
from .grid import GRID


@compiled
def snapped(x: float) -> float:
    """The nearest number on the grid."""
    return float(np.rint(x / GRID)) * GRID


@compiled
def dot(x: Floats, y: Floats) -> float:
    """⟨x, y⟩, exact for bounded values on the grid; four sums at a time."""
    a = b = c = d = 0.0
    whole = x.size // 4 * 4
    for j in range(0, whole, 4):
        a += x[j] * y[j]
        b += x[j + 1] * y[j + 1]
        c += x[j + 2] * y[j + 2]
        d += x[j + 3] * y[j + 3]
    for j in range(whole, x.size):
        a += x[j] * y[j]
    return (a + b) + (c + d)


@compiled
def to_unit(x: Floats) -> None:
    """x ← x / ‖x‖ on the grid; zero stays zero."""
    square = dot(x, x)
    if square > 0.0:
        length = math.sqrt(square)
        for j in range(x.size):
            x[j] = snapped(x[j] / length)


@compiled
def to_direction(x: Floats, units: Units) -> None:
    """units ← x / ‖x‖ in grid units, for x ≠ 0."""
    length = math.sqrt(dot(x, x)) * GRID
    for j in range(x.size):
        units[j] = np.int32(np.rint(x[j] / length))


@compiled
def _put_beside(x: Floats, target: Floats, out: Floats) -> float:
    """out ← the target without its part along x; returns the largest magnitude in it."""
    square = dot(x, x)
    along = dot(x, target) / (square if square > 0.0 else 1.0)
    most = 0.0
    for j in range(x.size):
        out[j] = target[j] - along * x[j]
        most = max(most, abs(out[j]))
    return most


@compiled
def put_turned(x: Floats, target: Floats, cosine: float, sine: float, out: Floats) -> None:
    """out ← the unit vector x turned towards the target, see `dynamics.shift.turn`."""
    most = _put_beside(x, target, out)
    if most == 0.0:
        axis = np.zeros(x.size)
        axis[np.abs(x).argmin()] = 1.0
        most = _put_beside(x, axis, out)
    for j in range(x.size):
        out[j] = snapped(out[j] / most)
    to_unit(out)
    for j in range(x.size):
        out[j] = snapped(cosine * x[j] + sine * out[j])
    to_unit(out)


@compiled
def put_regime(x: Floats, target: Floats, cosine: float, sine: float, out: Floats) -> None:
    """out ← the taste x turned towards the target, its length kept."""
    unit = x.copy()
    to_unit(unit)
    put_turned(unit, target, cosine, sine, out)
    length = math.sqrt(dot(x, x))
    for j in range(x.size):
        out[j] = snapped(length * out[j])
