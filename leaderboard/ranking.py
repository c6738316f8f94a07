"""Ranks as ranges that statistical tests allow, for entries that may have met different users."""

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
class AgentReturns:
    """The returns of one agent.

    attempts  per attempt an array (clusters, 2) of [achieved, achievable], in order of cluster
    users     equal for entries that met the same users under the same seeds, else different
    """

    attempts: tuple[Floats, ...]
    users: str

    @property
    def cluster_values(self) -> Floats:
        """One value per cluster; their mean is the mean of the attempts' normalized returns.

        Attempts have equally many clusters, so each has the same weight.
        """
        return np.concatenate([linearized(*sums.T) for sums in self.attempts])

    @property
    def mean(self) -> Mean:
        """The mean over all attempts with its error.

        The users of one attempt share its redrawn catalogs, which differ between attempts. With
        several attempts, the error is the larger of that over users and that over attempts.
        """
        among_users = mean_of_sample(self.cluster_values)
        if len(self.attempts) == 1:
            return among_users
        returns = np.array([linearized(*sums.T).mean() for sums in self.attempts])
        return max(among_users, mean_of_sample(returns), key=lambda mean: mean.variance)


class Mean(NamedTuple):
    """A mean, its variance, and the degrees of freedom of the variance."""

    value: float
    variance: float
    degrees: float


def mean_of_sample(numbers: Floats) -> Mean:
    """Return the mean of independent numbers with its variance."""
    n = len(numbers)
    return Mean(float(numbers.mean()), float(numbers.var(ddof=1)) / n, n - 1.0)


def mean_return(entry: AgentReturns) -> Estimate | None:
    """Return the mean normalized return over all attempts; see `AgentReturns.mean`.

    One attempt has the interval of a ratio; several have Student's interval. No interval below 20
    clusters.
    """
    numbers, n = entry.cluster_values, len(entry.cluster_values)
    if len(entry.attempts) == 1 or n < FEWEST_CLUSTERS:
        return ratio_interval(numbers, np.ones(n))
    mean = entry.mean
    reach = float(stdtrit(mean.degrees, (1 + LEVEL) / 2)) * sqrt(mean.variance)
    return Estimate(mean.value, mean.value - reach, mean.value + reach, n)


def mean_of(estimates: Sequence[Interval]) -> Interval:
    """Return the mean of independent estimates (value, low, high), with the interval of that mean.

    The squared distances to each end are added (MOVER: Zou & Donner 2008, Statistics in Medicine
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


def ranks(entries: Mapping[int, AgentReturns]) -> dict[int, tuple[int, int]]:
    """Map each key to the best and worst rank that the data allow.

    Every pair is tested, with Holm's correction over all tests at 5 %, so that the highest of many
    equal entries is not separated by chance. Entries with fewer than 20 clusters are separated
    from none.
    """
    keys = list(entries)
    numbers = {key: entries[key].cluster_values for key in keys}
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


def _same_users(mine: AgentReturns, theirs: AgentReturns) -> bool:
    """Whether both entries met the same users and seeds with the same achievable returns."""
    if mine.users != theirs.users or not len(mine.attempts) == len(theirs.attempts) == 1:
        return False
    return np.array_equal(mine.attempts[0][:, 1], theirs.attempts[0][:, 1])


def _paired(mine: Floats, theirs: Floats) -> tuple[float, float]:
    """Student's t of the differences, and its two-sided p-value.

    Not the permutation tests of `comparison`: a board may have thousands of pairs, and a smallest
    p-value of 1 / 20,000 would never remain significant after Holm's correction.
    """
    return _tested(mean_of_sample(mine - theirs))


def _welch(mine: Mean, theirs: Mean) -> tuple[float, float]:
    """Welch's t (1947, Biometrika 34) and its two-sided p-value."""
    variance = mine.variance + theirs.variance
    squares = mine.variance**2 / mine.degrees + theirs.variance**2 / theirs.degrees
    degrees = variance**2 / squares if squares > 0 else 1.0
    return _tested(Mean(mine.value - theirs.value, variance, degrees))


def _tested(mean: Mean) -> tuple[float, float]:
    """Return t of a mean against 0, and its two-sided p-value."""
    if mean.variance <= 0:
        return mean.value, 0.0 if mean.value else 1.0
    t = mean.value / sqrt(mean.variance)
    return t, 2 * float(stdtr(mean.degrees, -abs(t)))
