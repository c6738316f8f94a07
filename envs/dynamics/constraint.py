"""Hard constraints: from a hidden day on, a user wants nothing of one topic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...validation import DAY, check, in_order
from ..numerics import philox
from ..numerics.philox import Purpose

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TEMPTING = 3
"""The constraint falls on one of this many best-liked topics."""


@dataclass(frozen=True)
class Constraint:
    """One topic ruled out in the course of a life (ours).

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
    params: Constraint, seed: ArrayLike, user: Integers, liking: Floats
) -> tuple[Integers, Integers]:
    """The day (B) from which each user's constraint holds, and the topic (B) it rules out.

    The topic is one of the user's three best liked, each as likely, so that ignoring the
    constraint is tempting: their items would still be chosen and enjoyed.

    liking  (B, T) how much each user likes each topic; of equals the lowest index is first
    """
    when, which = philox.uniforms(seed, user, 0, Purpose.CONSTRAINT)
    days = params.last_day - params.first_day + 1
    best = np.argsort(-liking, axis=1, kind="stable")[:, :TEMPTING]
    rank = (best.shape[1] * which).astype(np.int64)
    topic: Integers = best[np.arange(len(best)), rank]
    return params.first_day + (days * when).astype(np.int64), topic
