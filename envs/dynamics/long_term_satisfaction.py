"""Long-term satisfaction: clickbait is chosen now and lowers satisfaction later.

RecSim (Ie et al. 2019, arXiv 1909.04847; environment `long_term_satisfaction`, "choc and kale").
As published: the net kale exposure, its memory 0.7, innovation 0.05 and first value, and
satisfaction with sensitivity 0.01; these are the same for every user; users differ in their first
exposure only. With the published sensitivity satisfaction stays within 0.01 of one half.

Different here: satisfaction scales the reward of a choice instead of the mean of a log-normal
watch time (5 for choc, 4 for kale, deviation 1); users choose, where RecSim's always take the
first item; sessions replace the budget of 60 items. RecSim's implementation draws the
innovation from NumPy's global generator, and its class documentation has the sign of the
exposure reversed; the equation below is the paper's, and what its code does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...validation import RATE, Range, check
from ..numerics import elementary, philox
from ..numerics.arrays import Bools, Floats, Ints, Words
from ..numerics.grid import on_grid
from ..numerics.philox import Purpose


@dataclass(frozen=True)
class LongTermSatisfaction:
    """Memory of the exposure and its effect.

    memory       γ in [0, 1): the part of the exposure that survives an item
    sensitivity  in [0, 10]; satisfaction is σ(sensitivity · exposure)
    innovation   in [0, 10], standard deviation of the noise that an item adds to the exposure
    """

    memory: float = 0.7
    sensitivity: float = 0.01
    innovation: float = 0.05

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, memory=Range(0, 1, below=True), sensitivity=RATE, innovation=RATE)


def kaleness(quality: Floats, appeal: Floats) -> Floats:
    """k = σ(quality − appeal) in [0, 1] for items (n): 1 is all quality, 0 all clickbait (ours)."""
    return on_grid(elementary.sigmoid(quality - appeal))


def exposure_draws(seed: int | Words, user: Ints) -> Floats:
    """Uniform draws (B) in (0, 1) for the first exposures of users (B)."""
    return philox.uniform(seed, user, 0, Purpose.KALE)


def begin_exposure(params: LongTermSatisfaction, draws: Floats) -> Floats:
    """First exposures (B), (draw − ½) / (1 − γ): at most half of the limit under kale alone."""
    return on_grid((draws - 0.5) / (1.0 - params.memory))


def innovation_noise(seed: int | Words, user: Ints, turn: Ints) -> Floats:
    """Standard normal draws (B) for what a turn (0, 1, …) adds to the exposure."""
    return philox.normal(seed, user, turn + 1, Purpose.KALE)


def update_exposure(
    params: LongTermSatisfaction,
    exposure: Floats,
    kale: Floats,
    consumed: Bools,
    noise: Floats,
) -> Floats:
    """Exposures (B) after a turn: NKE ← γ NKE + 2 (k − ½) + innovation · noise.

    Stationary under a constant k: mean 2 (k − ½) / (1 − γ), variance innovation² / (1 − γ²).

    kale      k (B) of the consumed items; ignored where nothing was consumed
    consumed  (B) False where nothing was consumed; the exposure is then unchanged
    noise     (B) standard normal
    """
    after = params.memory * exposure + 2.0 * (kale - 0.5) + params.innovation * noise
    return on_grid(np.where(consumed, after, exposure))


def satisfaction(params: LongTermSatisfaction, exposure: Floats) -> Floats:
    """σ(sensitivity · NKE) (B) in [0, 1]: the scale of a user's reward."""
    return on_grid(elementary.sigmoid(params.sensitivity * exposure))
