"""Recurring regimes: weekday and weekend, or seasons; what was liked in one returns with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import philox
from ..grid import on_grid
from ..philox import Purpose
from .shift import dot, somebody_else, turn, turn_constants, unit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Recurring:
    """A cycle of regimes (ours).

    period_days    days in a cycle, at least `regimes`
    regimes        R ≥ 2 equal parts of the cycle, the longer ones first where days do not divide
    angle_degrees  between the first and the last regime's taste
    """

    period_days: int
    regimes: int
    angle_degrees: float


def regime(recurring: Recurring, day: Integers) -> Integers:
    """(B) regime in force on each day, 0 to R − 1: ⌊R (day mod period) / period⌋."""
    return (day % recurring.period_days) * recurring.regimes // recurring.period_days


def regime_taste(recurring: Recurring, taste: Floats, target: Floats, regime: Integers) -> Floats:
    """What tastes (B, M, d) become in each user's regime (B); `target` (B, M, d) on the grid.

    Regime r turns each interest by r θ / (R − 1) towards the target and keeps its length. It is a
    function of the taste alone, so regime 0 is the taste itself and every regime returns to the
    bit; drift and influence act on the taste beneath.
    """
    steps = recurring.regimes - 1
    angles = [recurring.angle_degrees * r / steps for r in range(recurring.regimes)]
    cosine, sine = np.array([turn_constants(angle) for angle in angles])[regime].T
    turned = turn(unit(taste), target, cosine[:, None, None], sine[:, None, None])
    away = on_grid(np.sqrt(dot(taste, taste)) * turned)
    return np.where((regime == 0)[:, None, None], taste, away)


def recurring_target(seed: ArrayLike, user: Integers, num_users: int) -> Integers:
    """(B) the user towards whose anchors each user's regimes turn, for a whole life."""
    draw = philox.uniform(seed, user, 0, Purpose.RECURRING)
    return somebody_else(user, draw, num_users)
