"""Transient intent: one session for somebody else, which must not enter the user's profile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...validation import SHARE, check
from ..numerics import philox
from ..numerics.philox import Purpose
from .shift import somebody_else

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Transient:
    """How often a session serves another person's taste, a gift say (ours).

    probability  of each session but the first, in [0, 1], independently
    """

    probability: float

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, probability=SHARE)


def transient_plan(
    transient: Transient, seed: ArrayLike, user: Integers, session: Integers, num_users: int
) -> tuple[NDArray[np.bool_], Integers]:
    """Whether each user's session (B) is for somebody else, and for whom (B).

    Session 0 never is: an agent must have met the user before it can tell the two apart.
    """
    whether, whom = philox.uniforms(seed, user, session, Purpose.TRANSIENT)
    active = (whether < transient.probability) & (session > 0)
    return active, somebody_else(user, whom, num_users)
