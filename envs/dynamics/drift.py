"""Gradual drift: tastes wander around an anchor as an exact Ornstein–Uhlenbeck process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import philox
from ..philox import Purpose


@dataclass(frozen=True)
class Drift:
    """How far and how fast a taste wanders.

    half_life_days  days until half of a deviation is forgotten, ln 2 / κ
    dispersion      r, with r² = d σ² / 2κ: the stationary RMS distance from a unit anchor,
                    so that E cos(taste, anchor) ≈ (1 + r²)^(−½)
    """

    half_life_days: float
    dispersion: float


def drift_one_day(
    drift: Drift,
    taste: NDArray[np.float64],
    anchor: NDArray[np.float64],
    seed: int,
    user: NDArray[np.int64],
    day: ArrayLike,
) -> NDArray[np.float64]:
    """Tastes (B, d) one calendar day later (Uhlenbeck & Ornstein 1930, exact transition).

    x ← a + e^{−κ}(x − a) + σ √((1 − e^{−2κ}) / 2κ) ξ(seed, user, day). Days compose exactly,
    whatever the agent does and however often the user comes.
    """
    decay = 0.5 ** (1 / drift.half_life_days)
    dimensions = taste.shape[1]
    spread = drift.dispersion * np.sqrt((1 - decay**2) / dimensions)
    noise = philox.normal(
        seed, user[:, None], np.asarray(day)[:, None], Purpose.DRIFT, np.arange(dimensions)
    )
    return anchor + decay * (taste - anchor) + spread * noise
