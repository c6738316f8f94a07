"""Patience: a budget of turns per session, which refusals use up faster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...validation import Range, check
from ..numerics.arrays import Bools, Floats
from ..numerics.grid import on_grid


@dataclass(frozen=True)
class Patience:
    """A session's budget (ours; similar to RecSim's time budget, Ie et al. 2019).

    start         > 0, patience at the start of each session; at 0 the session ends
    refusal_cost  ≥ 0, additional cost of a turn without a choice
    """

    start: float
    refusal_cost: float

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, start=Range(0, 1e6, above=True), refusal_cost=Range(0, 1e6))


def update_patience(params: Patience, patience: Floats, picked: Bools) -> Floats:
    """Patience (B) after a turn, never below 0: p ← max(p − 1 − c · 1[nothing chosen], 0).

    With a whole `start` and cost c, and refusals of probability q, a session lasts E(start)
    turns, where E(p) = 1 + q E(p − 1 − c) + (1 − q) E(p − 1) and E(p ≤ 0) = 0.
    """
    return on_grid(np.maximum(patience - 1.0 - np.where(picked, 0.0, params.refusal_cost), 0.0))
