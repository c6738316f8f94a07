"""Estimates with 95 % bootstrap intervals, clustered by user instead of by turn.

The turns of one user are not independent, so whole users are drawn with replacement. Results do
not depend on the order in which users are listed, and the generator is fixed: the same numbers
give the same interval, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtrit

LEVEL = 0.95
"""Nominal coverage of every interval."""

FEWEST_CLUSTERS = 20
"""Fewest clusters with an interval: with fewer a bootstrap interval covers much less than 95 %."""

RESAMPLES = 2_000
"""Bootstrap replicates: enough for the ends of a 95 % interval to vary by a few per cent only."""

ROUNDING = 1e-12
"""Relative difference up to which two floating-point sums count as equal."""

_KEY = 0x7A57E5
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate with its 95 % interval and sample size.

    value      the estimate
    low, high  ends of the 95 % interval; None where no interval is given
    n          number of clusters (users, or cohorts on that track)
    """

    value: float
    low: float | None
    high: float | None
    n: int


def ratio_interval(
    numerator: ArrayLike, denominator: ArrayLike, *, resamples: int = RESAMPLES
) -> Estimate | None:
    """Σ numerator / Σ denominator with a BCa interval (Efron 1987, JASA 82, section 4).

    Both arguments have shape (clusters,): sums over all episodes of one cluster. A mean is the
    special case in which the denominator is a count. A ratio of sums weighs users by what they
    contribute and stays defined where single denominators are 0 or negative.

    Returns None where there are no clusters or the denominators do not add up to more than 0.
    The interval is None below 20 clusters, and where it would be unbounded because the
    denominator itself cannot be told from 0 (as in Fieller 1954).
    """
    top = np.asarray(numerator, dtype=np.float64)
    bottom = np.asarray(denominator, dtype=np.float64)
    if top.shape != bottom.shape or top.ndim != 1:
        raise ValueError(
            f"need one numerator and one denominator a cluster: {top.shape} {bottom.shape}"
        )
    if not (np.isfinite(top).all() and np.isfinite(bottom).all()):
        raise ValueError("numerators and denominators must be finite")
    order = np.lexsort((top, bottom))
    top, bottom = top[order], bottom[order]
    n = len(top)
    if n == 0 or not bottom.sum() > 0:
        return None
    value = float(top.sum() / bottom.sum())
    if n < FEWEST_CLUSTERS:
        return Estimate(value, None, None, n)
    replicates = _resampled_ratios(top, bottom, resamples)
    levels = _bca_levels(value, replicates, _jackknife(top, bottom))
    with np.errstate(invalid="ignore"):
        low, high = (float(end) for end in np.quantile(replicates, levels))
    if not (np.isfinite(low) and np.isfinite(high)):
        return Estimate(value, None, None, n)
    return Estimate(value, low, high, n)


def quantile_interval(
    values: ArrayLike, clusters: ArrayLike, q: float, *, resamples: int = RESAMPLES
) -> Estimate | None:
    """The q-quantile of all values (linear interpolation), clustered as `clusters` labels them.

    values    shape (m,), any finite numbers
    clusters  shape (m,), the user (or cohort) of each value
    q         in (0, 1)

    BCa does not apply to quantiles (their jackknife is inconsistent). Woodruff (1952, JASA 47)
    is used instead: bootstrap the share of values at or below the estimate, which is a ratio of
    sums, and map its deviations back through the empirical quantile function. The work grows
    with the number of clusters, not with the number of values times resamples. None where there
    are no values.
    """
    if not 0 < q < 1:
        raise ValueError(f"q must lie strictly between 0 and 1, not {q}")
    x = np.asarray(values, dtype=np.float64)
    labels, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    if x.shape != cluster.shape:
        raise ValueError(f"need one cluster a value: {x.shape} values, {cluster.shape} clusters")
    if len(x) == 0:
        return None
    n = len(labels)
    value = float(np.quantile(x, q))
    if n < FEWEST_CLUSTERS:
        return Estimate(value, None, None, n)
    below = np.bincount(cluster, weights=x <= value, minlength=n).astype(np.float64)
    count = np.bincount(cluster, minlength=n).astype(np.float64)
    order = np.lexsort((below, count))
    below, count = below[order], count[order]
    deviation = _resampled_ratios(below, count, resamples) - below.sum() / count.sum()
    tail = (1 - LEVEL) / 2
    shares = np.clip(q - np.quantile(deviation, [1 - tail, tail]), 0, 1)
    low, high = (float(end) for end in np.quantile(x, shares))
    return Estimate(value, min(low, value), max(high, value), n)


def _resampled_ratios(
    top: NDArray[np.float64], bottom: NDArray[np.float64], resamples: int
) -> NDArray[np.float64]:
    """Ratios of sums over clusters drawn with replacement, shape (resamples,).

    A replicate whose denominator is not positive counts as ±inf, the limit from above.
    """
    sums = _resampled_sums(top + 1j * bottom, resamples)
    ratios: NDArray[np.float64] = np.copysign(np.inf, sums.real)
    np.divide(sums.real, sums.imag, out=ratios, where=sums.imag > 0)
    return ratios


def _resampled_sums(values: NDArray[np.complex128], resamples: int) -> NDArray[np.complex128]:
    """Sums over n of n values drawn with replacement, shape (resamples,).

    The values are split into blocks. The number of the n draws that fall into each block is
    multinomial; the draws within a block are looked up two at a time in the table of its pairwise
    sums, which halves the work without changing the distribution.
    """
    generator = np.random.Generator(np.random.Philox(_KEY))
    n = len(values)
    blocks = np.array_split(values, -(-n // _BLOCK))
    counts = generator.multinomial(n, [len(block) / n for block in blocks], size=resamples)
    sums = np.zeros(resamples, dtype=np.complex128)
    for block, count in zip(blocks, counts.T, strict=True):
        pairs, odd = count // 2, count % 2 == 1
        table = (block[:, None] + block).ravel()
        drawn = table[generator.integers(len(table), size=int(pairs.sum()) + 1)]
        drawn[-1] = 0
        pair_sums = np.add.reduceat(drawn, np.cumsum(pairs) - pairs)
        sums += np.where(pairs > 0, pair_sums, 0)
        sums += np.where(odd, block[generator.integers(len(block), size=resamples)], 0)
    return sums


def _jackknife(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ratio with each cluster left out in turn, where that is defined."""
    rest = bottom.sum() - bottom
    ratios: NDArray[np.float64] = (top.sum() - top)[rest > 0] / rest[rest > 0]
    return ratios


def _bca_levels(
    value: float, replicates: NDArray[np.float64], jackknife: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Levels of the replicates' quantiles that bound the BCa interval.

    Corrected for bias and skewness. Replicates that equal the value but for rounding count half.
    The tails are Student's and stretched by √(n / (n − 1)), because a bootstrap of few clusters
    is too narrow by as much (Hesterberg 2015, The American Statistician 69).
    """
    rounding = ROUNDING * np.abs(replicates[np.isfinite(replicates)]).max(initial=0.0)
    below = (replicates < value - rounding).mean() / 2 + (replicates <= value + rounding).mean() / 2
    half = 0.5 / len(replicates)
    bias = ndtri(np.clip(below, half, 1 - half))
    influence = jackknife.mean() - jackknife
    spread = np.sum(influence**2) ** 1.5
    skew = np.sum(influence**3) / (6 * spread) if spread > 0 else 0.0
    n = len(jackknife)
    z = bias + _student(n) * np.sqrt(n / (n - 1))
    levels: NDArray[np.float64] = ndtr(bias + z / (1 - skew * z))
    return levels


def sums_interval(
    sums: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    corrected: bool = True,
    resamples: int = RESAMPLES,
) -> Estimate | None:
    """Interval of any statistic of sums over clusters, such as a difference of two ratios.

    sums       shape (clusters, m): the contribution of each cluster to the m totals
    statistic  from totals of shape (…, m) to values of shape (…); NaN where it is not defined
    corrected  True for BCa; False for percentiles, stretched alike but not corrected, for a
               statistic that may be infinite (a time that was not reached), as then may be the
               value and the ends

    Whole rows are drawn with replacement, so the totals keep their dependence. None where there
    are no clusters or the statistic is not defined; no interval below 20 clusters, or where some
    replicate is not defined.
    """
    rows = np.asarray(sums, dtype=np.float64)
    rows = rows[np.lexsort(rows.T)]
    n = len(rows)
    if n == 0:
        return None
    value = float(statistic(rows.sum(axis=0)))
    if np.isnan(value):
        return None
    if n < FEWEST_CLUSTERS:
        return Estimate(value, None, None, n)
    # the same key and the same n give the same draws for every column
    totals = [_resampled_sums(column + 0j, resamples).real for column in rows.T]
    replicates = statistic(np.stack(totals, axis=1))
    if np.isnan(replicates).any():
        return Estimate(value, None, None, n)
    if corrected:
        levels = _bca_levels(value, replicates, statistic(rows.sum(axis=0) - rows))
        low, high = (float(end) for end in np.quantile(replicates, levels))
    else:
        ends = _student(n) * np.sqrt(n / (n - 1))
        found = np.quantile(replicates, ndtr(ends), method="inverted_cdf")
        low, high = (float(end) for end in found)
    if np.isnan(low) or np.isnan(high):
        return Estimate(value, None, None, n)
    return Estimate(value, low, high, n)


def _student(n: int) -> NDArray[np.float64]:
    """Student's quantiles of both tails for n clusters, to digits that all SciPy versions share."""
    tail = (1 - LEVEL) / 2
    quantiles: NDArray[np.float64] = np.round(stdtrit(n - 1, np.array([tail, 1 - tail])), 6)
    return quantiles
