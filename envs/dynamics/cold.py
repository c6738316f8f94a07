"""Cold start: users with few logged interactions, and items that enter during the episode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...validation import LATER_DAY, SHARE, Range, check, in_order
from ..numerics import philox
from ..numerics.arrays import Bools, Ints
from ..numerics.philox import Purpose

EVENTS_KEPT = (0, 1, 3, 10)
"""Numbers of interactions that the training log keeps of a cold user, equally likely."""

NOT_ALL = Range(0, 1, below=True)

CATALOG_SEED = 1
"""Cold users and items depend on the catalog alone; they are the same in every episode."""


@dataclass(frozen=True)
class ColdUsers:
    """Users whose logged interactions are truncated (ours).

    share  of the users, in [0, 1]
    """

    share: float

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, share=SHARE)


@dataclass(frozen=True)
class ColdItems:
    """Items that cannot be shown before a known day and do not occur in the log (ours).

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


def is_cold(params: ColdUsers, user: Ints) -> Bools:
    """(B) True for cold users; a larger share contains the users of a smaller one."""
    return philox.uniform(CATALOG_SEED, user, 0, Purpose.COLD, 0) < params.share


def events_kept(seed: ArrayLike, user: Ints) -> Ints:
    """(B) number of a cold user's earliest interactions in the log, uniform over EVENTS_KEPT.

    The log is one per catalog, so pass a seed that depends on the catalog alone.
    """
    draw = philox.uniform(seed, user, 0, Purpose.COLD, 1)
    return np.array(EVENTS_KEPT)[(len(EVENTS_KEPT) * draw).astype(np.int64)]


def entry_days(params: ColdItems, seed: ArrayLike, n: int) -> Ints:
    """(n) first day on which each item can be shown; 0 for items present from the start."""
    whether, when = philox.uniforms(seed, np.arange(n), 0, Purpose.COLD, 2)
    days = params.last_day - params.first_day + 1
    entry = params.first_day + (days * when).astype(np.int64)
    return np.where(whether < params.share, entry, 0)
