"""Recurring regimes: weekday and weekend, or seasons; what was liked in one returns with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...validation import COUNT, DEGREES, Range, check, in_order
from ..numerics import philox
from ..numerics.philox import Purpose
from .shift import somebody_else, turn_constants

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Recurring:
    """A cycle of regimes (ours).

    period_days    days in a cycle, at least `regimes`
    regimes        R ≥ 2 equal parts of the cycle, the longer ones first where days do not divide
    angle_degrees  in [0, 180], between the first and the last regime's taste
    """

    period_days: int
    regimes: int
    angle_degrees: float

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, period_days=COUNT, regimes=Range(2, 1e6, whole=True), angle_degrees=DEGREES)
        in_order(self, "regimes", "period_days")


def regime(recurring: Recurring, day: Integers) -> Integers:
    """(B) regime in force on each day, 0 to R − 1: ⌊R (day mod period) / period⌋."""
    return (day % recurring.period_days) * recurring.regimes // recurring.period_days


@lru_cache
def regime_turns(recurring: Recurring) -> Floats:
    """(R, 2) cosine and sine, on the grid, of each regime's angle r θ / (R − 1) to the first.

    A regime turns each interest towards its target and keeps its length (`directions.put_regime`).
    It is a function of the taste alone, so regime 0 is the taste itself and every regime returns
    to the bit; drift and influence act on the taste beneath.
    """
    steps = recurring.regimes - 1
    angles = [recurring.angle_degrees * r / steps for r in range(recurring.regimes)]
    return np.array([turn_constants(angle) for angle in angles])


def recurring_target(seed: ArrayLike, user: Integers, num_users: int) -> Integers:
    """(B) the user towards whose anchors each user's regimes turn, for a whole life."""
    draw = philox.uniform(seed, user, 0, Purpose.RECURRING)
    return somebody_else(user, draw, num_users)
