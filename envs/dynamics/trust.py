"""Trust: increases after good sessions, decreases after bad ones and with broken rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...validation import RATE, SHARE, check
from ..numerics.arrays import Floats, Ints
from ..numerics.grid import on_grid


@dataclass(frozen=True)
class Trust:
    """Parameters of trust (ours).

    start      trust at the start of an episode, in [0, 1]
    gain       α in [0, 10], trust gained per unit of mean reward above the reference
    reference  y_ref in [0, 1], the mean reward at which trust is unchanged
    penalty    δ in [0, 10], trust lost per item shown that is ruled out or for older users
    """

    start: float
    gain: float
    reference: float
    penalty: float

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, start=SHARE, gain=RATE, reference=SHARE, penalty=RATE)


def update_trust(params: Trust, trust: Floats, mean_reward: Floats, broken_rules: Ints) -> Floats:
    """Trust (B) after a session: τ ← clip(τ + α (ȳ − y_ref) − δ · broken_rules, 0, 1), on the grid.

    mean_reward  ȳ (B) in [0, 1], mean over the session's turns; broken_rules: (B) ≥ 0, a count
    """
    moved = trust + params.gain * (mean_reward - params.reference) - params.penalty * broken_rules
    return on_grid(np.clip(moved, 0.0, 1.0))
