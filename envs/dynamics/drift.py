"""Gradual drift: interests wander around their anchors as exact Ornstein–Uhlenbeck processes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...validation import HALF_LIFE, RATE, check
from ..numerics import elementary as exact
from ..numerics import philox
from ..numerics.compiled import compiled
from ..numerics.directions import snapped
from ..numerics.grid import on_grid
from ..numerics.philox import Purpose, Word, normal_rows, scratch

Floats = NDArray[np.float64]

LN2 = 0.6931471805599453

STRETCH = 7
"""Days whose noise is drawn at a time, for speed alone."""


@dataclass(frozen=True)
class Drift:
    """How far and how fast interests wander.

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
    user: NDArray[np.int64],
    days: NDArray[np.int64],
    interests: int,
    dimensions: int,
) -> Floats:
    """ξ(seed, user, day): standard normal (B, D, M, d) for users (B) and their days (B, D).

    seed  one number or (B); number m·d + j of a day's draws belongs to interest m, dimension j
    """
    seeds = seed if np.ndim(seed) == 0 else np.asarray(seed)[:, None]
    draws = philox.normals(seeds, user[:, None], days, Purpose.DRIFT, interests * dimensions)
    return draws.reshape(*days.shape, interests, dimensions)


def drift_one_day(drift: Drift, taste: Floats, anchor: Floats, noise: Floats) -> Floats:
    """Tastes (B, M, d) one calendar day later (Uhlenbeck & Ornstein 1930, exact transition).

    x ← a + e^{−κ}(x − a) + σ √((1 − e^{−2κ}) / 2κ) ξ with the day's noise ξ (B, M, d), rounded to
    the grid. Days compose, whatever the agent does and however often the user comes.
    """
    decay, spread = _transition(drift, taste.shape[-1])
    return on_grid(anchor + decay * (taste - anchor) + spread * noise)


def stationary_taste(drift: Drift, anchor: Floats, noise: Floats) -> Floats:
    """Tastes (B, M, d), on the grid, of users who drift since ever: a + r ξ / √d."""
    return on_grid(anchor + drift.dispersion / np.sqrt(anchor.shape[-1]) * noise)


def wander(
    drift: Drift,
    seed: NDArray[np.uint64],
    user: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    taste: Floats,
    anchor: Floats,
) -> Floats:
    """Tastes (B, M, d) after the calendar days first … last (B, both included) of each user.

    `drift_one_day` with `drift_noise`, day after day; nothing happens where last < first.
    """
    out = taste.copy()
    transition = _transition(drift, taste.shape[-1])
    _wander(transition, np.uint64(Purpose.DRIFT), seed, user, first, last, out, anchor)
    return out


@compiled
def _wander(
    transition: tuple[float, float],
    purpose: Word,
    seed: NDArray[np.uint64],
    user: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    taste: Floats,
    anchor: Floats,
) -> None:
    decay, spread = transition
    count = taste.shape[1] * taste.shape[2]
    room, noise = scratch(count, STRETCH), np.empty((STRETCH, (count + 3) // 4 * 4))
    for row in range(len(taste)):
        x, a = taste[row].reshape(-1), anchor[row].reshape(-1)
        key, who = seed[row], np.uint64(user[row])
        for start in range(first[row], last[row] + 1, STRETCH):
            days = min(STRETCH, last[row] + 1 - start)
            normal_rows(key, who, np.uint64(start), purpose, room, noise[:days])
            for day in range(days):
                for j in range(count):
                    x[j] = snapped((a[j] + decay * (x[j] - a[j])) + spread * noise[day, j])


@lru_cache
def _transition(drift: Drift, dimensions: int) -> tuple[float, float]:
    """e^{−κ} and r √((1 − e^{−2κ}) / d), by exact arithmetic and so alike on every machine.

    They are not put on the grid: a half-life of many years would be lost there.
    """
    decay = float(exact.exp(-LN2 / drift.half_life_days))
    spread = drift.dispersion * float(np.sqrt((1 - decay * decay) / dimensions))
    return decay, spread
