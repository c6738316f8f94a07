"""Tests and intervals for the difference between two agents, rank groups, and sample sizes.

Every function takes one number per cluster (a user, or a cohort on that track), as the metrics
do, and draws from a fixed generator: the same numbers give the same result, bit for bit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from .statistics import FEWEST_CLUSTERS, LEVEL, ROUNDING, ratio_interval

Name = TypeVar("Name")
Values = NDArray[np.float64]

DRAWS = 19_999
"""Random sign flips or permutations behind a p-value, which is thus never below 1 / 20,000."""

POWER = 0.8
"""Probability with which `users_needed` users separate two agents that do differ."""

_KEY = 0xD1FF
_DRAWN_AT_ONCE = 2**21
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
_SIGNS = 1.0 - 2.0 * _BITS
"""Shape (256, 8): the eight signs that each byte encodes."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of a metric between two agents, with interval and test.

    value      first − second, in the metric's unit
    low, high  ends of its 95 % interval; None below 20 clusters, and where the denominator of a
               paired difference cannot be told from 0
    p          two-sided p-value of "no difference"; None below 20 clusters
    n          clusters: pairs where paired, else of the smaller sample
    std        standard deviation of the difference of one cluster (≥ 0), the input of
               `users_needed`; None for fewer than two clusters
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    std: float | None


def paired_difference(
    first: ArrayLike, second: ArrayLike, denominator: ArrayLike | None = None
) -> Difference | None:
    """Σ (first − second) / Σ denominator over the same clusters under common random numbers.

    first, second  shape (clusters,), sums over the same users in the same order
    denominator    shape (clusters,), shared by both, such as ceiling − random for normalized
                   returns; 1 for each where there is none

    The interval is Student's over the users' deviations from the ratio, as in `linearized`:
    differences are far less skewed than the numbers themselves. The p-value is that of a
    sign-flip test: if the two agents were alike, each difference could as well have had the
    other sign (Fisher 1935, The Design of Experiments, section 21). Its Student statistic grows
    with |Σ ± d| alone, because flips leave Σ d² as it is; so the test stays valid in large
    samples where differences are skewed (Janssen 1999, Statistics 27). None where the
    denominators do not add up to more than 0.
    """
    a, b = _sample(first), _sample(second)
    shared = np.ones(len(a)) if denominator is None else _sample(denominator)
    if not len(a) == len(b) == len(shared):
        raise ValueError(f"need one number a pair: {len(a)}, {len(b)} and {len(shared)}")
    off = a - b
    found = ratio_interval(off, shared)
    if found is None:
        return None
    n = len(off)
    enough = n >= FEWEST_CLUSTERS
    p = _sign_flip_p(np.sort(np.abs(off)), abs(float(np.sort(off).sum()))) if enough else None
    std = _std(off - found.value * shared) / float(shared.mean()) if n > 1 else None
    if std is None or found.low is None:
        return Difference(found.value, None, None, p, n, std)
    reach = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * std / sqrt(n)
    return Difference(found.value, found.value - reach, found.value + reach, p, n, std)


def unpaired_difference(first: ArrayLike, second: ArrayLike) -> Difference | None:
    """mean(first) − mean(second) over different clusters.

    first, second  shapes (clusters,), one number per user; for ratios see `linearized`

    The p-value permutes which agent a user met and compares Welch's statistic, so that samples of
    unequal sizes and variances are rejected at the nominal rate (Janssen 1997, Statistics &
    Probability Letters 36). The interval is Welch's (1947, Biometrika 34). None where one
    sample is empty.
    """
    a, b = _sample(first), _sample(second)
    n = min(len(a), len(b))
    if n == 0:
        return None
    value = float(a.mean() - b.mean())
    if n < 2:
        return Difference(value, None, None, None, n, None)
    std = float(np.hypot(_std(a), _std(b)))
    if n < FEWEST_CLUSTERS:
        return Difference(value, None, None, None, n, std)
    parts = np.array([x.var(ddof=1) / len(x) for x in (a, b)])
    error, reach = float(np.sqrt(parts.sum())), 0.0
    if error > 0:
        shares = parts / parts.sum()
        freedom = 1 / (shares[0] ** 2 / (len(a) - 1) + shares[1] ** 2 / (len(b) - 1))
        reach = error * float(stdtrit(freedom, (1 + LEVEL) / 2))
    return Difference(value, value - reach, value + reach, _permutation_p(a, b), n, std)


def linearized(numerator: ArrayLike, denominator: ArrayLike) -> Values:
    """One number per cluster, whose mean is Σ numerator / Σ denominator: R + (tᵢ − R bᵢ) / mean b.

    Comparing these compares ratios whose denominators differ (delta method). Raises ValueError
    where the denominators do not add up to more than 0.
    """
    top, bottom = _sample(numerator), _sample(denominator)
    if not bottom.sum() > 0:
        raise ValueError("the denominators must add up to more than 0")
    ratio = top.sum() / bottom.sum()
    numbers: Values = ratio + (top - ratio * bottom) / bottom.mean()
    return numbers


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted by Holm's method, which bounds the chance of any wrong rejection.

    The k-th smallest of m is multiplied by m − k + 1, and none may fall below a smaller one
    (Holm 1979, Scandinavian Journal of Statistics 6); at most 1. Order is kept.
    """
    m = len(p_values)
    order = sorted(range(m), key=lambda i: p_values[i])
    adjusted, least = [0.0] * m, 0.0
    for k, i in enumerate(order):
        least = max(least, min(1.0, (m - k) * p_values[i]))
        adjusted[i] = least
    return adjusted


def rank_groups(
    names: Sequence[Name], beats: Collection[tuple[Name, Name]]
) -> dict[Name, tuple[int, int]]:
    """Name -> best and worst rank that the tests leave possible, counted from 1.

    beats  (winner, loser) of every pair whose difference is significant

    The best rank is 1 + the number of agents that are significantly better; the worst is the
    number of agents − the number that are significantly worse.
    """
    return {
        name: (
            1 + sum((other, name) in beats for other in names),
            len(names) - sum((name, other) in beats for other in names),
        )
        for name in names
    }


def users_needed(std: float, difference: float) -> int | None:
    """Users that separate two agents with 80 % power at the 5 % level, two-sided.

    std         standard deviation σ_d of a user's difference (`Difference.std`); for samples of
                different users the result counts the users of each agent
    difference  the true difference δ

    The mean of n differences errs by σ_d / √n. It is called different beyond 1.96 errors, and
    lies there in 80 % of runs if δ is 1.96 + 0.84 errors away: n = (2.80 σ_d / δ)² =
    7.85 (σ_d / δ)², rounded up. None where δ is 0.
    """
    if difference == 0:
        return None
    reach = float(ndtri((1 + LEVEL) / 2) + ndtri(POWER))
    return max(1, ceil((reach * std / difference) ** 2))


def _sample(values: ArrayLike) -> Values:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not np.isfinite(sample).all():
        raise ValueError(f"need one finite number a cluster, not shape {sample.shape}")
    return sample


def _std(sample: Values) -> float:
    return float(np.sqrt(np.var(np.sort(sample), ddof=1)))


def _sign_flip_p(sizes: Values, observed: float) -> float:
    """Share of random signs for which |Σ ± sizes| ≥ observed, the true signs included.

    Eight signs are drawn as one byte, whose signed sum is looked up.
    """
    generator = np.random.Generator(np.random.Philox(_KEY))
    sums = np.zeros(DRAWS)
    for start in range(0, len(sizes), 8):
        eight = sizes[start : start + 8]
        table = (_SIGNS[:, : len(eight)] * eight).sum(axis=1)
        sums += table[generator.integers(256, size=DRAWS, dtype=np.uint8)]
    return _p_value(np.abs(sums), observed, float(sizes.sum()))


def _permutation_p(a: Values, b: Values) -> float:
    """Share of regroupings whose |Welch statistic| ≥ the observed; the true one is included.

    The smaller group is drawn from the sorted pool, so that neither order nor role matters.
    """
    few, many = sorted((a, b), key=len)
    pool = np.sort(np.concatenate([few, many]))
    pool -= pool[len(pool) // 2]
    generator = np.random.Generator(np.random.Philox(_KEY))
    observed = float(np.abs(_welch(_moments(few, many), len(few), len(many))))
    drawn = np.empty(DRAWS)
    rows = max(1, _DRAWN_AT_ONCE // len(pool))
    total, square = pool.sum(), (pool**2).sum()
    for start in range(0, DRAWS, rows):
        stop = min(start + rows, DRAWS)
        table = np.broadcast_to(pool, (stop - start, len(pool)))
        group = generator.permuted(table, axis=1)[:, : len(few)]
        first, second = group.sum(axis=1), (group**2).sum(axis=1)
        sums = (first, second, total - first, square - second)
        drawn[start:stop] = np.abs(_welch(sums, len(few), len(many)))
    return _p_value(drawn, observed, observed if np.isfinite(observed) else 1.0)


def _moments(few: Values, many: Values) -> tuple[float, float, float, float]:
    middle = np.sort(np.concatenate([few, many]))[(len(few) + len(many)) // 2]
    x, y = np.sort(few - middle), np.sort(many - middle)
    return float(x.sum()), float((x**2).sum()), float(y.sum()), float((y**2).sum())


def _welch(sums: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike], n: int, m: int) -> Values:
    """Welch's statistic from Σ x, Σ x², Σ y, Σ y²; ±∞ where two constants differ, 0 where not."""
    x, xx, y, yy = (np.asarray(part, dtype=np.float64) for part in sums)
    gap = x / n - y / m
    noise = ROUNDING * (xx + yy) / (n + m)
    variances = np.maximum(xx - x * x / n, 0) / (n * (n - 1))
    variances = variances + np.maximum(yy - y * y / m, 0) / (m * (m - 1))
    apart = np.where(gap * gap > noise, np.copysign(np.inf, gap), 0.0)
    found: Values = np.divide(gap, np.sqrt(variances), out=apart, where=variances > noise)
    return found


def _p_value(drawn: Values, observed: float, scale: float) -> float:
    """(1 + draws ≥ observed) / (1 + draws), where equal but for rounding counts as ≥."""
    reached = int((drawn >= observed - ROUNDING * scale).sum())
    return (1 + reached) / (1 + len(drawn))
