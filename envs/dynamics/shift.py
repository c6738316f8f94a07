"""Abrupt shift: on a hidden day a user's interests turn towards somebody else's."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...validation import DEGREES, LATER_DAY, check, in_order
from ..numerics import philox
from ..numerics.grid import on_grid
from ..numerics.philox import Purpose

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Shift:
    """One turn of taste in a life.

    angle_degrees  in [0, 180], by which every interest's anchor rotates towards another user's
    first_day      earliest day of the shift, at least 1: nobody shifts before the first session
    last_day       latest day, included; the day is uniform between the two and hidden
    announced      True for a life event: the user says that it happened
    """

    angle_degrees: float
    first_day: int
    last_day: int
    announced: bool = False

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, angle_degrees=DEGREES, first_day=LATER_DAY, last_day=LATER_DAY, announced=bool)
        in_order(self, "first_day", "last_day")


def shift_plan(
    shift: Shift, seed: ArrayLike, user: Integers, num_users: int
) -> tuple[Integers, Integers]:
    """The hidden day (B) on which each user's taste turns, and the user (B) it turns towards.

    The other user is drawn from all `num_users` of the world, and is never the user itself
    unless there is no other.
    """
    when, whom = philox.uniforms(seed, user, 0, Purpose.SHIFT)
    days = shift.last_day - shift.first_day + 1
    return shift.first_day + (days * when).astype(np.int64), somebody_else(user, whom, num_users)


def somebody_else(user: Integers, draw: Floats, num_users: int) -> Integers:
    """(B) another row of `num_users` for each user, uniform where `draw` is uniform in (0, 1)."""
    step: Integers = 1 + ((num_users - 1) * draw).astype(np.int64)
    return (user + step) % num_users


def rotate(anchor: Floats, target: Floats, angle_degrees: float) -> Floats:
    """Unit anchors (B, M, d) turned by the angle towards the targets, interest by interest.

    cos θ · a + sin θ · norm(b − ⟨a, b⟩ a / ⟨a, a⟩): the angle to the old anchor is θ whatever the
    targets' lengths, up to the rounding of cos, sin and the result to the grid. Needs d ≥ 2.
    """
    cosine, sine = turn_constants(angle_degrees)
    return turn(anchor, target, cosine, sine)


def turn_constants(angle_degrees: float) -> tuple[float, float]:
    """cos and sin on the grid: the last bit of a library's cosine is not everywhere the same."""
    angle = radians(angle_degrees)
    on = on_grid(np.array([cos(angle), sin(angle)]))
    return float(on[0]), float(on[1])


def turn(direction: Floats, target: Floats, cosine: float | Floats, sine: float | Floats) -> Floats:
    """`rotate` for given cosines and sines, which broadcast against (B, M, d).

    Where a target lies on the anchor's own line, the axis that the anchor uses least stands in.
    """
    across = _beside(direction, target)
    parallel = np.abs(across).max(axis=-1, keepdims=True) == 0
    if parallel.any():
        axis = np.eye(direction.shape[-1])[np.abs(direction).argmin(axis=-1)]
        across = np.where(parallel, _beside(direction, axis), across)
    across = across / np.abs(across).max(axis=-1, keepdims=True)
    return unit(on_grid(cosine * direction + sine * unit(on_grid(across))))


def dot(x: Floats, y: Floats) -> Floats:
    """⟨x, y⟩ over the last axis, which stays as 1; exact for bounded values on the grid."""
    products: Floats = (x * y).sum(axis=-1, keepdims=True)
    return products


def unit(x: Floats) -> Floats:
    """x / ‖x‖ over the last axis, on the grid, for x on the grid; zero stays zero."""
    square = dot(x, x)
    return on_grid(x / np.sqrt(np.where(square == 0, 1.0, square)))


def _beside(direction: Floats, target: Floats) -> Floats:
    """What is left of targets without their part along the directions; all on the grid."""
    square = dot(direction, direction)
    along = dot(direction, target) / np.where(square == 0, 1.0, square)
    beside: Floats = target - along * direction
    return beside
