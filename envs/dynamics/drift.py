"""Gradual drift: interests follow Ornstein–Uhlenbeck processes around their anchors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from ...validation import HALF_LIFE, RATE, check
from ..numerics import elementary, philox
from ..numerics.arrays import Floats, Ints, Words
from ..numerics.compiled import compiled
from ..numerics.grid import on_grid, on_grid_of
from ..numerics.philox import Purpose, Word, normal_rows, normal_workspace

DAYS_PER_BLOCK = 7
"""Days whose noise is drawn together; affects speed only."""


@dataclass(frozen=True)
class Drift:
    """Speed and size of the drift.

    half_life_days  from 0.001 to 10⁶, days until half of a deviation is forgotten, ln 2 / κ
    dispersion      r in [0, 10], r² = d σ² / 2κ: the stationary RMS distance from a unit anchor,
                    so that E cos(taste, anchor) ≈ (1 + r²)^(−½)
    """

    half_life_days: float
    dispersion: float

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, half_life_days=HALF_LIFE, dispersion=RATE)


def drift_noise(
    seed: ArrayLike,
    user: Ints,
    days: Ints,
    interests: int,
    dimensions: int,
) -> Floats:
    """ξ(seed, user, day): standard normal (B, D, M, d) for users (B) and their days (B, D).

    seed  one number or (B); draw m·d + j of a day belongs to interest m, dimension j
    """
    seeds = seed if np.ndim(seed) == 0 else np.asarray(seed)[:, None]
    draws = philox.normals(seeds, user[:, None], days, Purpose.DRIFT, interests * dimensions)
    return draws.reshape(*days.shape, interests, dimensions)


def drift_one_day(drift: Drift, taste: Floats, anchor: Floats, noise: Floats) -> Floats:
    """Tastes (B, M, d) one day later (Uhlenbeck & Ornstein 1930, exact transition).

    x ← a + e^{−κ}(x − a) + σ √((1 − e^{−2κ}) / 2κ) ξ with the day's noise ξ (B, M, d), rounded to
    the grid. The path depends neither on the agent nor on when sessions take place.
    """
    decay, spread = _transition(drift, taste.shape[-1])
    return on_grid(anchor + decay * (taste - anchor) + spread * noise)


def stationary_taste(drift: Drift, anchor: Floats, noise: Floats) -> Floats:
    """Tastes (B, M, d) from the stationary distribution, on the grid: a + r ξ / √d."""
    return on_grid(anchor + drift.dispersion / np.sqrt(anchor.shape[-1]) * noise)


def drift_days(
    drift: Drift,
    seed: Words,
    user: Ints,
    first: Ints,
    last: Ints,
    taste: Floats,
    anchor: Floats,
) -> Floats:
    """Tastes (B, M, d) after the days first … last (B, both included) of each user.

    Applies `drift_one_day` with `drift_noise` for every day; no change where last < first.
    """
    out = taste.copy()
    transition = _transition(drift, taste.shape[-1])
    _drift_rows(transition, np.uint64(Purpose.DRIFT), seed, user, first, last, out, anchor)
    return out


@compiled
def _drift_rows(
    transition: tuple[float, float],
    purpose: Word,
    seed: Words,
    user: Ints,
    first: Ints,
    last: Ints,
    taste: Floats,
    anchor: Floats,
) -> None:
    decay, spread = transition
    count = taste.shape[1] * taste.shape[2]
    workspace, noise = (
        normal_workspace(count, DAYS_PER_BLOCK),
        np.empty((DAYS_PER_BLOCK, (count + 3) // 4 * 4)),
    )
    for row in range(len(taste)):
        x, a = taste[row].reshape(-1), anchor[row].reshape(-1)
        for start in range(first[row], last[row] + 1, DAYS_PER_BLOCK):
            days = min(DAYS_PER_BLOCK, last[row] + 1 - start)
            normal_rows(
                seed[row], np.uint64(user[row]), np.uint64(start), purpose, workspace, noise[:days]
            )
            for day in range(days):
                for j in range(count):
                    x[j] = on_grid_of((a[j] + decay * (x[j] - a[j])) + spread * noise[day, j])


@lru_cache
def _transition(drift: Drift, dimensions: int) -> tuple[float, float]:
    """e^{−κ} and r √((1 − e^{−2κ}) / d), bit-exact on every machine.

    Not rounded to the grid, which is too coarse for a half-life of many years.
    """
    decay = float(elementary.exp(-elementary.LN2 / drift.half_life_days))
    spread = drift.dispersion * float(np.sqrt((1 - decay * decay) / dimensions))
    return decay, spread
