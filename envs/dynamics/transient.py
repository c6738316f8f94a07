"""Transient intent: single sessions for another person's taste; the user's own stays."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from ...validation import SHARE, check
from ..numerics import philox
from ..numerics.arrays import Bools, Ints
from ..numerics.philox import Purpose
from .shift import another_user


@dataclass(frozen=True)
class Transient:
    """Frequency of sessions for another person's taste, such as for a gift (ours).

    probability  of each session but the first, in [0, 1], independently
    """

    probability: float

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, probability=SHARE)


def transient_plan(
    transient: Transient, seed: ArrayLike, user: Ints, session: Ints, num_users: int
) -> tuple[Bools, Ints]:
    """Whether each user's session (B) is for another user, and for which one (B).

    Session 0 never is: an agent needs a session of the user's own to tell the two apart.
    """
    whether, which = philox.uniforms(seed, user, session, Purpose.TRANSIENT)
    active = (whether < transient.probability) & (session > 0)
    return active, another_user(user, which, num_users)
