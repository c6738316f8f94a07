"""Vectors on the fixed-point grid: dot products, unit vectors and rotations.

Each operation has two forms with the same bits, because dot products on the grid are exact in any
order: a NumPy form over the last axis of a batch (`dot`, `unit`, `rotate`), and a compiled form for
one vector (d) inside a loop (`dot_of`, `normalize`, `rotate_unit`).
"""

from __future__ import annotations

import math

import numpy as np

from .arrays import Floats, Units
from .compiled import compiled
from .grid import GRID, on_grid, on_grid_of

SQUARED_GRID = GRID * GRID


def dot(x: Floats, y: Floats) -> Floats:
    """⟨x, y⟩ over the last axis, which stays with length 1."""
    products: Floats = (x * y).sum(axis=-1, keepdims=True)
    return products


def unit(x: Floats) -> Floats:
    """x / ‖x‖ over the last axis, rounded to the grid; zero stays zero."""
    square = dot(x, x)
    return on_grid(x / np.sqrt(np.where(square == 0, 1.0, square)))


def cosine_and_sine(angle_degrees: float) -> tuple[float, float]:
    """Cosine and sine, rounded to the grid: libraries differ in the last bit of a cosine."""
    angle = math.radians(angle_degrees)
    rounded = on_grid(np.array([math.cos(angle), math.sin(angle)]))
    return float(rounded[0]), float(rounded[1])


def rotate(x: Floats, target: Floats, cosine: float | Floats, sine: float | Floats) -> Floats:
    """Unit vectors (…, d), d ≥ 2, rotated towards the targets (…, d) by an angle θ.

    cos θ · x + sin θ · norm(t − ⟨x, t⟩ x / ⟨x, x⟩). The angle between x and the result is θ for any
    length of the target, up to the rounding to the grid. Where the target is parallel to x, the
    coordinate axis of which x has least replaces it.

    cosine, sine  numbers, or arrays that broadcast against x
    """
    across = _orthogonal_part(x, target)
    parallel = np.abs(across).max(axis=-1, keepdims=True) == 0
    if parallel.any():
        axis = np.eye(x.shape[-1])[np.abs(x).argmin(axis=-1)]
        across = np.where(parallel, _orthogonal_part(x, axis), across)
    across = across / np.abs(across).max(axis=-1, keepdims=True)
    return unit(on_grid(cosine * x + sine * unit(on_grid(across))))


def _orthogonal_part(x: Floats, target: Floats) -> Floats:
    square = dot(x, x)
    along = dot(x, target) / np.where(square == 0, 1.0, square)
    across: Floats = target - along * x
    return across


@compiled
def dot_units(u: Units, z: Units) -> float:
    """⟨u, z⟩ of two vectors in grid units, by integer sums."""
    total = np.int64(0)
    for k in range(u.size):
        total += np.int64(u[k]) * np.int64(z[k])
    return float(total) * SQUARED_GRID


@compiled
def dot_of(x: Floats, y: Floats) -> float:
    """⟨x, y⟩ of bounded vectors on the grid, in four sums that vectorize."""
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
def normalize(x: Floats) -> None:
    """`unit` of one vector, in place."""
    square = dot_of(x, x)
    if square > 0.0:
        length = math.sqrt(square)
        for j in range(x.size):
            x[j] = on_grid_of(x[j] / length)


@compiled
def direction_units(x: Floats, out: Units) -> None:
    """Fill `out` with x / ‖x‖ in grid units, for x ≠ 0."""
    length = math.sqrt(dot_of(x, x)) * GRID
    for j in range(x.size):
        out[j] = np.int32(np.rint(x[j] / length))


@compiled
def rotate_unit(x: Floats, target: Floats, cosine: float, sine: float, out: Floats) -> None:
    """Fill `out` with `rotate` of one unit vector."""
    largest = _fill_orthogonal_part(x, target, out)
    if largest == 0.0:
        axis = np.zeros(x.size)
        axis[np.abs(x).argmin()] = 1.0
        largest = _fill_orthogonal_part(x, axis, out)
    for j in range(x.size):
        out[j] = on_grid_of(out[j] / largest)
    normalize(out)
    for j in range(x.size):
        out[j] = on_grid_of(cosine * x[j] + sine * out[j])
    normalize(out)


@compiled
def rotate_vector(x: Floats, target: Floats, cosine: float, sine: float, out: Floats) -> None:
    """Fill `out` with a vector rotated towards the target, its length kept."""
    direction = x.copy()
    normalize(direction)
    rotate_unit(direction, target, cosine, sine, out)
    length = math.sqrt(dot_of(x, x))
    for j in range(x.size):
        out[j] = on_grid_of(length * out[j])


@compiled
def _fill_orthogonal_part(x: Floats, target: Floats, out: Floats) -> float:
    """Fill `out` with the target's part orthogonal to x; returns its largest magnitude."""
    square = dot_of(x, x)
    along = dot_of(x, target) / (square if square > 0.0 else 1.0)
    largest = 0.0
    for j in range(x.size):
        out[j] = target[j] - along * x[j]
        largest = max(largest, abs(out[j]))
    return largest
