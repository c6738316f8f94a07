"""Gradual drift: tastes wander around an anchor as an exact Ornstein–Uhlenbeck process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def drift_noise(
    seed: int, user: NDArray[np.int64], days: NDArray[np.int64], dimensions: int
) -> NDArray[np.float64]:
    """ξ(seed, user, day): standard normal (B, D, d) for users (B) and their days (B, D)."""
    address = (user[:, None, None], days[:, :, None])
    return philox.normal(seed, *address, Purpose.DRIFT, np.arange(dimensions))


def drift_one_day(
    drift: Drift,
    taste: NDArray[np.float64],
    anchor: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Tastes (B, d) one calendar day later (Uhlenbeck & Ornstein 1930, exact transition).

    x ← a + e^{−κ}(x − a) + σ √((1 − e^{−2κ}) / 2κ) ξ with the day's noise ξ (B, d). Days compose
    exactly, whatever the agent does and however often the user comes.
    """
    decay = 0.5 ** (1 / drift.half_life_days)
    spread = drift.dispersion * np.sqrt((1 - decay**2) / taste.shape[1])
    moved: NDArray[np.float64] = anchor + decay * (taste - anchor) + spread * noise
    return moved


def stationary_taste(
    drift: Drift, anchor: NDArray[np.float64], noise: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Tastes (B, d) of users who have been drifting for ever: a + r ξ / √d."""
    taste: NDArray[np.float64] = anchor + drift.dispersion / np.sqrt(anchor.shape[1]) * noise
    return taste
