"""Cold starts: users with hardly a past, and items that enter the catalog during lives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...validation import LATER_DAY, SHARE, Range, check, in_order
from ..numerics import philox
from ..numerics.philox import Purpose

Integers = NDArray[np.int64]

EVENTS_KEPT = (0, 1, 3, 10)
"""How much of a cold user's past the log may keep, in interactions."""

NOT_ALL = Range(0, 1, below=True)

CATALOG_SEED = 1
"""Who is cold is a fact of the catalog, the same in every life."""


@dataclass(frozen=True)
class ColdUsers:
    """Users whose past is cut (ours).

    share  of the users, in [0, 1]
    """

    share: float

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, share=SHARE)


@dataclass(frozen=True)
class ColdItems:
    """Items that cannot be shown before a known day, and never occur in the log (ours).

    share      of the items, in [0, 1)
    first_day  earliest day of entry, at least 1
    last_day   latest day, included; days are uniform between the two
    """

    share: float
    first_day: int
    last_day: int

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, share=NOT_ALL, first_day=LATER_DAY, last_day=LATER_DAY)
        in_order(self, "first_day", "last_day")


def is_cold(params: ColdUsers, user: Integers) -> NDArray[np.bool_]:
    """(B) True for users of whom the log keeps only `events_kept`; a larger share adds to them."""
    return philox.uniform(CATALOG_SEED, user, 0, Purpose.COLD, 0) < params.share


def events_kept(seed: ArrayLike, user: Integers) -> Integers:
    """(B) how many of a cold user's earliest interactions the log keeps: 0, 1, 3 or 10, evenly.

    The log is one per catalog; so should the seed be.
    """
    draw = philox.uniform(seed, user, 0, Purpose.COLD, 1)
    return np.array(EVENTS_KEPT)[(len(EVENTS_KEPT) * draw).astype(np.int64)]


def entry_days(params: ColdItems, seed: ArrayLike, n: int) -> Integers:
    """(n) day from which each item may be shown, 0 for the share that is there from the start."""
    whether, when = philox.uniforms(seed, np.arange(n), 0, Purpose.COLD, 2)
    days = params.last_day - params.first_day + 1
    entry = params.first_day + (days * when).astype(np.int64)
    return np.where(whether < params.share, entry, 0)
