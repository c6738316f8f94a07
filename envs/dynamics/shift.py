"""Abrupt shift: on a hidden day a user's interests rotate towards another user's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...validation import DEGREES, LATER_DAY, check, in_order
from ..numerics import philox
from ..numerics.arrays import Floats, Ints
from ..numerics.philox import Purpose
from ..numerics.vectors import cosine_and_sine, rotate


@dataclass(frozen=True)
class Shift:
    """One rotation of the taste in an episode.

    angle_degrees  in [0, 180], by which every interest's anchor rotates towards another user's
    first_day      earliest day of the shift, at least 1, so after the first session
    last_day       latest day, included; the day is uniform between the two and hidden
    announced      the user says at the next session that life has changed
    """

    angle_degrees: float
    first_day: int
    last_day: int
    announced: bool = False

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, angle_degrees=DEGREES, first_day=LATER_DAY, last_day=LATER_DAY, announced=bool)
        in_order(self, "first_day", "last_day")


def shift_plan(shift: Shift, seed: ArrayLike, user: Ints, num_users: int) -> tuple[Ints, Ints]:
    """The hidden day (B) of each user's shift, and the user (B) towards whom the taste rotates.

    The other user is uniform over the `num_users` of the catalog without the user itself, which is
    returned only where there is no other.
    """
    when, which = philox.uniforms(seed, user, 0, Purpose.SHIFT)
    days = shift.last_day - shift.first_day + 1
    return shift.first_day + (days * when).astype(np.int64), another_user(user, which, num_users)


def another_user(user: Ints, draw: Floats, num_users: int) -> Ints:
    """(B) another row of `num_users` for each user, uniform where `draw` is uniform in (0, 1)."""
    step: Ints = 1 + ((num_users - 1) * draw).astype(np.int64)
    return (user + step) % num_users


def rotate_anchors(anchor: Floats, target: Floats, angle_degrees: float) -> Floats:
    """Unit anchors (B, M, d), d ≥ 2, each rotated towards its target (B, M, d) by the angle."""
    return rotate(anchor, target, *cosine_and_sine(angle_degrees))
