"""Ranks as groups that the data separate, over submissions that may have met different users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import hypot, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from ..metrics.comparison import holm, linearized, rank_groups
from ..metrics.statistics import FEWEST_CLUSTERS, LEVEL, Estimate, ratio_interval

Floats = NDArray[np.float64]
Interval = tuple[float, float | None, float | None]
"""A value and the ends of its 95 % interval, where it has them."""


@dataclass(frozen=True)
class Entry:
    """What one agent gained and could have gained.

    attempts  one array (clusters, 2) of [gained, possible] for each time that it played, in order
              of cluster
    users     equal for entries that met the same users under the same seeds, else different
    """

    attempts: tuple[Floats, ...]
    users: str

    @property
    def numbers(self) -> Floats:
        """One number a cluster; their mean is the mean of the attempts' normalized returns.

        Attempts have equally many clusters, so each weighs alike however it went.
        """
        return np.concatenate([linearized(*sums.T) for sums in self.attempts])

    @property
    def mean(self) -> Mean:
        """The mean over all attempts, none left out.

        The users of an attempt share its worlds, and worlds differ. How much, shows in the spread
        between attempts, so with several of them the larger of the two errors counts.
        """
        among_users = mean_of_sample(self.numbers)
        if len(self.attempts) == 1:
            return among_users
        returns = np.array([linearized(*sums.T).mean() for sums in self.attempts])
        return max(among_users, mean_of_sample(returns), key=lambda mean: mean.error)


class Mean(NamedTuple):
    """A mean, its variance, and the degrees of freedom of that."""

    value: float
    error: float
    freedom: float


def mean_of_sample(numbers: Floats) -> Mean:
    """The mean of independent numbers, and what is known of it."""
    n = len(numbers)
    return Mean(float(numbers.mean()), float(numbers.var(ddof=1)) / n, n - 1.0)


def mean_return(entry: Entry) -> Estimate | None:
    """Mean normalized return over all attempts; see `Entry.mean`.

    One attempt has the interval that every ratio has; several have Student's. None below 20
    clusters.
    """
    numbers, n = entry.numbers, len(entry.numbers)
    if len(entry.attempts) == 1 or n < FEWEST_CLUSTERS:
        return ratio_interval(numbers, np.ones(n))
    mean = entry.mean
    reach = float(stdtrit(mean.freedom, (1 + LEVEL) / 2)) * sqrt(mean.error)
    return Estimate(mean.value, mean.value - reach, mean.value + reach, n)


def mean_of(estimates: Sequence[Interval]) -> Interval:
    """Mean of independent estimates (value, low, high), with the interval of that mean.

    The distances to each end add up in squares (MOVER: Zou & Donner 2008, Statistics in Medicine
    27). None at an end that one of the estimates lacks.
    """
    k = len(estimates)
    if k == 1:
        return estimates[0]
    value = sum(one[0] for one in estimates) / k
    below = [one[0] - one[1] for one in estimates if one[1] is not None]
    above = [one[2] - one[0] for one in estimates if one[2] is not None]
    low = value - hypot(*below) / k if len(below) == k else None
    high = value + hypot(*above) / k if len(above) == k else None
    return value, low, high


def ranks(entries: Mapping[int, Entry]) -> dict[int, tuple[int, int]]:
    """Key -> best and worst rank that the data leave an entry.

    Every pair is tested, and Holm's method holds all tests together at 5 %: the luckiest of many
    alike is not told apart from the others. Entries with fewer than 20 clusters are told apart
    from nobody.
    """
    keys = list(entries)
    numbers = {key: entries[key].numbers for key in keys}
    means = {key: entries[key].mean for key in keys}
    tested = []
    for one, other in combinations(keys, 2):
        mine, theirs = numbers[one], numbers[other]
        if min(len(mine), len(theirs)) >= FEWEST_CLUSTERS:
            same = _same_users(entries[one], entries[other])
            t, p = _paired(mine, theirs) if same else _welch(means[one], means[other])
            tested.append(((one, other) if t > 0 else (other, one), p))
    adjusted = holm([p for _, p in tested])
    beats = {pair for (pair, _), p in zip(tested, adjusted, strict=True) if p <= 1 - LEVEL}
    return rank_groups(keys, beats)


def _same_users(mine: Entry, theirs: Entry) -> bool:
    """Whether the same users under the same seeds had as much to give to both."""
    if mine.users != theirs.users or not len(mine.attempts) == len(theirs.attempts) == 1:
        return False
    return np.array_equal(mine.attempts[0][:, 1], theirs.attempts[0][:, 1])


def _paired(mine: Floats, theirs: Floats) -> tuple[float, float]:
    """Student's t of the differences, and its two-sided p-value.

    Not the permutation tests of `comparison`: a board may have thousands of pairs, and p-values
    that end at 1 / 20,000 could not survive Holm's correction there.
    """
    return _tested(mean_of_sample(mine - theirs))


def _welch(mine: Mean, theirs: Mean) -> tuple[float, float]:
    """Welch's t (1947, Biometrika 34) and its two-sided p-value."""
    error = mine.error + theirs.error
    squares = mine.error**2 / mine.freedom + theirs.error**2 / theirs.freedom
    freedom = error**2 / squares if squares > 0 else 1.0
    return _tested(Mean(mine.value - theirs.value, error, freedom))


def _tested(mean: Mean) -> tuple[float, float]:
    """t of a mean against 0, and its p-value."""
    if mean.error <= 0:
        return mean.value, 0.0 if mean.value else 1.0
    t = mean.value / sqrt(mean.error)
    return t, 2 * float(stdtr(mean.freedom, -abs(t)))
