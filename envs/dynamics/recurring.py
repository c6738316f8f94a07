"""Recurring regimes, such as seasons: tastes that alternate and return exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from ...validation import COUNT, DEGREES, Range, check, in_order
from ..numerics import philox
from ..numerics.arrays import Floats, Ints
from ..numerics.philox import Purpose
from ..numerics.vectors import cosine_and_sine
from .shift import another_user


@dataclass(frozen=True)
class Recurring:
    """A cycle of regimes (ours).

    period_days    days in a cycle, at least `regimes`
    regimes        R ≥ 2 equal parts of the cycle; where they cannot be equal, the longer come first
    angle_degrees  in [0, 180], between the first and the last regime's taste
    """

    period_days: int
    regimes: int
    angle_degrees: float

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, period_days=COUNT, regimes=Range(2, 1e6, whole=True), angle_degrees=DEGREES)
        in_order(self, "regimes", "period_days")


def regime(recurring: Recurring, day: Ints) -> Ints:
    """(B) regime in force on each day, 0 to R − 1: ⌊R (day mod period) / period⌋."""
    return (day % recurring.period_days) * recurring.regimes // recurring.period_days


@lru_cache
def regime_rotations(recurring: Recurring) -> Floats:
    """(R, 2) cosine and sine, on the grid, of each regime's angle r θ / (R − 1) to the first.

    A regime rotates each interest towards its target and keeps its length (`rotate_vector`). It is
    a function of the taste alone: regime 0 is the taste itself, every regime returns bit-exactly,
    and drift and influence act on the unrotated taste.
    """
    steps = recurring.regimes - 1
    angles = [recurring.angle_degrees * r / steps for r in range(recurring.regimes)]
    return np.array([cosine_and_sine(angle) for angle in angles])


def recurring_target(seed: ArrayLike, user: Ints, num_users: int) -> Ints:
    """(B) the user towards whose anchors each user's regimes rotate, for the whole episode."""
    draw = philox.uniform(seed, user, 0, Purpose.RECURRING)
    return another_user(user, draw, num_users)
