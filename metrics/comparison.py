"""Which of two agents is better, how sure that is, and how many users it takes to know.

Every function takes one number a cluster (a user, or a cohort on that track), as the metrics do,
and draws from a fixed generator: the same numbers give the same verdict, bit for bit.
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
"""Random flips or permutations behind a p-value, which is then never below 1 / 20,000."""

POWER = 0.8
"""How often `users_needed` users separate two agents that do differ."""

_KEY = 0xD1FF
_DRAWN_AT_ONCE = 2**21
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
_SIGNS = 1.0 - 2.0 * _BITS
"""Shape (256, 8): the signs that each byte stands for."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one agent lies above another.

    value      mine − theirs, in the metric's unit
    low, high  ends of its 95 % interval; None below 20 clusters, and where the room of a pair
               cannot be told from 0
    p          two-sided p-value of "no difference"; None below 20 clusters
    n          clusters: pairs where paired, else of the smaller sample
    spread     standard deviation of the difference between two lives (≥ 0), which `users_needed`
               asks for; None for fewer than two clusters
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    spread: float | None


def paired(mine: ArrayLike, theirs: ArrayLike, room: ArrayLike | None = None) -> Difference | None:
    """Σ (mine − theirs) / Σ room over the same clusters: what common random numbers are for.

    mine, theirs  shape (clusters,), sums over the same users in the same order
    room          shape (clusters,), a denominator that both share, such as ceiling − random for
                  normalized returns; 1 for each where there is none

    The interval is Student's over the users' own differences from the ratio, as in `linearized`:
    differences are far less skewed than what they are differences of. The p-value is that of a
    sign-flip test: were the two
    agents alike, each difference could as well have had the other sign (Fisher 1935, The Design
    of Experiments, section 21). Its Student statistic grows with |Σ ± d| alone, because flips
    leave Σ d² as it is; so the test stays valid in large samples where differences are skewed
    (Janssen 1999, Statistics 27). None where the room is not positive.
    """
    a, b = _sample(mine), _sample(theirs)
    share = np.ones(len(a)) if room is None else _sample(room)
    if not len(a) == len(b) == len(share):
        raise ValueError(f"one number a pair of clusters: {len(a)}, {len(b)} and {len(share)}")
    off = a - b
    found = ratio_interval(off, share)
    if found is None:
        return None
    n = len(off)
    enough = n >= FEWEST_CLUSTERS
    p = _flipped(np.sort(np.abs(off)), abs(float(np.sort(off).sum()))) if enough else None
    spread = _deviation(off - found.value * share) / float(share.mean()) if n > 1 else None
    if spread is None or found.low is None:
        return Difference(found.value, None, None, p, n, spread)
    reach = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * spread / sqrt(n)
    return Difference(found.value, found.value - reach, found.value + reach, p, n, spread)


def unpaired(mine: ArrayLike, theirs: ArrayLike) -> Difference | None:
    """mean(mine) − mean(theirs) over different clusters.

    mine, theirs  shapes (clusters,), one number a user; for ratios see `linearized`

    The p-value permutes which agent a user met and compares Welch's statistic, so that samples
    of other sizes and variances still reject at the nominal rate (Janssen 1997, Statistics &
    Probability Letters 36). The interval is Welch's (1947, Biometrika 34). None where one
    sample is empty.
    """
    a, b = _sample(mine), _sample(theirs)
    n = min(len(a), len(b))
    if n == 0:
        return None
    value = float(a.mean() - b.mean())
    if n < 2:
        return Difference(value, None, None, None, n, None)
    spread = float(np.hypot(_deviation(a), _deviation(b)))
    if n < FEWEST_CLUSTERS:
        return Difference(value, None, None, None, n, spread)
    parts = np.array([x.var(ddof=1) / len(x) for x in (a, b)])
    error, reach = float(np.sqrt(parts.sum())), 0.0
    if error > 0:
        shares = parts / parts.sum()
        freedom = 1 / (shares[0] ** 2 / (len(a) - 1) + shares[1] ** 2 / (len(b) - 1))
        reach = error * float(stdtrit(freedom, (1 + LEVEL) / 2))
    return Difference(value, value - reach, value + reach, _permuted(a, b), n, spread)


def linearized(numerator: ArrayLike, denominator: ArrayLike) -> Values:
    """One number a cluster whose mean is Σ numerator / Σ denominator: R + (tᵢ − R bᵢ) / mean b.

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
    """p-values adjusted so that one wrong rejection among all stays as rare as each claims.

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
    """Name -> the best and the worst rank that the data leave it, counted from 1.

    beats  (winner, loser) of every pair that was told apart

    The best rank is 1 + how many are surely better, the worst is all − how many are surely worse.
    """
    return {
        name: (
            1 + sum((other, name) in beats for other in names),
            len(names) - sum((name, other) in beats for other in names),
        )
        for name in names
    }


def users_needed(spread: float, difference: float) -> int | None:
    """Users that separate two agents with 80 % power at the 5 % level, two-sided.

    spread      standard deviation σ_d of a user's difference (`Difference.spread`); between
                samples of different users it counts users for each agent
    difference  the true difference δ

    The mean of n differences errs by σ_d / √n. It is called different beyond 1.96 errors, and
    lies there in 80 % of runs if δ is 1.96 + 0.84 errors away: n = (2.80 σ_d / δ)² =
    7.85 (σ_d / δ)², rounded up. None where δ is 0: nothing separates equals.
    """
    if difference == 0:
        return None
    reach = float(ndtri((1 + LEVEL) / 2) + ndtri(POWER))
    return max(1, ceil((reach * spread / difference) ** 2))


def _sample(values: ArrayLike) -> Values:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not np.isfinite(sample).all():
        raise ValueError(f"finite numbers, one a cluster, are needed, not shape {sample.shape}")
    return sample


def _deviation(sample: Values) -> float:
    return float(np.sqrt(np.var(np.sort(sample), ddof=1)))


def _flipped(sizes: Values, observed: float) -> float:
    """Share of random signs that make |Σ ± sizes| at least the observed, true signs included.

    Eight signs are drawn as one byte, whose signed sum is looked up.
    """
    generator = np.random.Generator(np.random.Philox(_KEY))
    sums = np.zeros(DRAWS)
    for start in range(0, len(sizes), 8):
        eight = sizes[start : start + 8]
        table = (_SIGNS[:, : len(eight)] * eight).sum(axis=1)
        sums += table[generator.integers(256, size=DRAWS, dtype=np.uint8)]
    return _share(np.abs(sums), observed, float(sizes.sum()))


def _permuted(a: Values, b: Values) -> float:
    """Share of regroupings whose |Welch statistic| is at least what it is, the true one included.

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
    return _share(drawn, observed, observed if np.isfinite(observed) else 1.0)


def _moments(few: Values, many: Values) -> tuple[float, float, float, float]:
    middle = np.sort(np.concatenate([few, many]))[(len(few) + len(many)) // 2]
    x, y = np.sort(few - middle), np.sort(many - middle)
    return float(x.sum()), float((x**2).sum()), float(y.sum()), float((y**2).sum())


def _welch(sums: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike], n: int, m: int) -> Values:
    """Welch's statistic from Σ x, Σ x², Σ y, Σ y²; ±∞ where two constants differ, 0 where not."""
    x, xx, y, yy = (np.asarray(part, dtype=np.float64) for part in sums)
    gap = x / n - y / m
    noise = ROUNDING * (xx + yy) / (n + m)
    spreads = np.maximum(xx - x * x / n, 0) / (n * (n - 1))
    spreads = spreads + np.maximum(yy - y * y / m, 0) / (m * (m - 1))
    apart = np.where(gap * gap > noise, np.copysign(np.inf, gap), 0.0)
    found: Values = np.divide(gap, np.sqrt(spreads), out=apart, where=spreads > noise)
    return found


def _share(drawn: Values, observed: float, scale: float) -> float:
    """(1 + how many draws reach the observed) / (1 + draws), rounding counted as reached."""
    reached = int((drawn >= observed - ROUNDING * scale).sum())
    return (1 + reached) / (1 + len(drawn))
