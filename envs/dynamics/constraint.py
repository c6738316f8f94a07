"""Hard constraint: from a hidden day on, a user rules out one topic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...validation import DAY, check, in_order
from ..numerics import philox
from ..numerics.arrays import Floats, Ints
from ..numerics.philox import Purpose

BEST_LIKED = 3
"""The ruled-out topic is one of this many best-liked topics."""


@dataclass(frozen=True)
class Constraint:
    """One topic ruled out during the episode (ours).

    first_day  earliest day from which it holds
    last_day   latest day, included; the day is uniform between the two
    """

    first_day: int
    last_day: int

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, first_day=DAY, last_day=DAY)
        in_order(self, "first_day", "last_day")


def constraint_plan(
    params: Constraint, seed: ArrayLike, user: Ints, liking: Floats
) -> tuple[Ints, Ints]:
    """First day (B) on which each user's constraint holds, and the topic (B) that it rules out.

    The topic is uniform over the user's three best liked, so that an agent that ignores the
    constraint still gains reward: items of the topic are chosen and enjoyed as before.

    liking  (B, T) how much each user likes each topic; ties go to the lowest index
    """
    when, which = philox.uniforms(seed, user, 0, Purpose.CONSTRAINT)
    days = params.last_day - params.first_day + 1
    best = np.argsort(-liking, axis=1, kind="stable")[:, :BEST_LIKED]
    rank = (best.shape[1] * which).astype(np.int64)
    topic: Ints = best[np.arange(len(best)), rank]
    return params.first_day + (days * when).astype(np.int64), topic
