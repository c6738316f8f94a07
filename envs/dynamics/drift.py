"""Gradual drift: interests wander around their anchors as exact Ornstein–Uhlenbeck processes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import exact, philox
from ..grid import on_grid
from ..philox import Purpose

Floats = NDArray[np.float64]

LN2 = 0.6931471805599453


@dataclass(frozen=True)
class Drift:
    """How far and how fast interests wander.

    half_life_days  > 0, days until half of a deviation is forgotten, ln 2 / κ
    dispersion      r ≥ 0, with r² = d σ² / 2κ: the stationary RMS distance from a unit anchor,
                    so that E cos(taste, anchor) ≈ (1 + r²)^(−½)
    """

    half_life_days: float
    dispersion: float


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


@lru_cache
def _transition(drift: Drift, dimensions: int) -> tuple[float, float]:
    """e^{−κ} and r √((1 − e^{−2κ}) / d), by exact arithmetic and so alike on every machine.

    They are not put on the grid: a half-life of many years would be lost there.
    """
    decay = float(exact.exp(-LN2 / drift.half_life_days))
    spread = drift.dispersion * float(np.sqrt((1 - decay * decay) / dimensions))
    return decay, spread
