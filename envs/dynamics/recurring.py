"""Recurring regimes: weekday and weekend, or seasons; what was liked in one returns with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import philox
from ..compiled import compiled
from ..directions import put_regime
from ..philox import Purpose
from .shift import somebody_else, turn_constants

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
    out = taste.copy()
    _regime_rows(regime_turns(recurring), taste, target, regime, out)
    return out


@lru_cache
def regime_turns(recurring: Recurring) -> Floats:
    """(R, 2) cosine and sine, on the grid, of each regime's angle to the first."""
    steps = recurring.regimes - 1
    angles = [recurring.angle_degrees * r / steps for r in range(recurring.regimes)]
    return np.array([turn_constants(angle) for angle in angles])


@compiled
def _regime_rows(
    turns: Floats, taste: Floats, target: Floats, regime: Integers, out: Floats
) -> None:
    for row in range(len(taste)):
        if regime[row] > 0:
            for m in range(taste.shape[1]):
                cosine, sine = turns[regime[row]]
                put_regime(taste[row, m], target[row, m], cosine, sine, out[row, m])


def recurring_target(seed: ArrayLike, user: Integers, num_users: int) -> Integers:
    """(B) the user towards whose anchors each user's regimes turn, for a whole life."""
    draw = philox.uniform(seed, user, 0, Purpose.RECURRING)
    return somebody_else(user, draw, num_users)
