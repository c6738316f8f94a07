"""Estimates with 95 % bootstrap intervals whose sampling unit is the user, not the turn.

The turns of one user are not independent, so whole users are drawn with replacement. Results do
not depend on the order in which users are listed, and the generator is fixed: the same numbers
give the same interval, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

LEVEL = 0.95
"""Nominal coverage of every interval."""

FEWEST_CLUSTERS = 20
"""Below this many clusters a bootstrap interval is too short to be honest, so none is given."""

RESAMPLES = 2_000
"""Bootstrap replicates: enough that the ends of a 95 % interval wobble by a few per cent."""

ROUNDING = 1e-12
_KEY = 0x7A57E5
_DRAWS_AT_ONCE = 2**18


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and what it rests on.

    value      the estimate
    low, high  ends of the 95 % interval; None where no honest interval exists
    n          number of clusters (users)
    """

    value: float
    low: float | None
    high: float | None
    n: int


def ratio_interval(
    numerator: ArrayLike, denominator: ArrayLike, *, resamples: int = RESAMPLES
) -> Estimate | None:
    """Σ numerator / Σ denominator with a BCa interval (Efron 1987, JASA 82, section 4).

    Both arguments have shape (clusters,): the sums over everything that one user did. A mean is
    the special case in which the denominator counts. A ratio of sums weighs users by what they
    contribute and stays defined when single denominators are 0 or negative.

    Returns None where there are no clusters or the denominators do not add up to more than 0.
    The interval is None below 20 clusters, and where it would be unbounded because the
    denominator itself cannot be told from 0 (as in Fieller 1954).
    """
    top = np.asarray(numerator, dtype=np.float64)
    bottom = np.asarray(denominator, dtype=np.float64)
    if top.shape != bottom.shape or top.ndim != 1:
        raise ValueError(f"one numerator and one denominator a cluster: {top.shape} {bottom.shape}")
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
    clusters  shape (m,), which user each value belongs to
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
    labels, of = np.unique(np.asarray(clusters), return_inverse=True)
    if x.shape != of.shape:
        raise ValueError(f"one cluster a value: {x.shape} values, {of.shape} clusters")
    if len(x) == 0:
        return None
    n = len(labels)
    value = float(np.quantile(x, q))
    if n < FEWEST_CLUSTERS:
        return Estimate(value, None, None, n)
    below = np.bincount(of, weights=x <= value, minlength=n).astype(np.float64)
    count = np.bincount(of, minlength=n).astype(np.float64)
    order = np.lexsort((below, count))
    below, count = below[order], count[order]
    drift = _resampled_ratios(below, count, resamples) - below.sum() / count.sum()
    tail = (1 - LEVEL) / 2
    shares = np.clip(q - np.quantile(drift, [1 - tail, tail]), 0, 1)
    low, high = (float(end) for end in np.quantile(x, shares))
    return Estimate(value, min(low, value), max(high, value), n)


def _resampled_ratios(
    top: NDArray[np.float64], bottom: NDArray[np.float64], resamples: int
) -> NDArray[np.float64]:
    """Ratios of sums over clusters drawn with replacement, shape (resamples,).

    A replicate whose denominator is not positive counts as ±inf, the limit from above.
    """
    generator = np.random.Generator(np.random.Philox(_KEY))
    pairs = top + 1j * bottom
    n = len(pairs)
    sums = np.empty(resamples, dtype=np.complex128)
    rows = max(1, _DRAWS_AT_ONCE // n)
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        sums[start:stop] = pairs[generator.integers(n, size=(stop - start, n))].sum(axis=1)
    ratios: NDArray[np.float64] = np.copysign(np.inf, sums.real)
    np.divide(sums.real, sums.imag, out=ratios, where=sums.imag > 0)
    return ratios


def _jackknife(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ratio without each cluster in turn, where that is defined."""
    rest = bottom.sum() - bottom
    ratios: NDArray[np.float64] = (top.sum() - top)[rest > 0] / rest[rest > 0]
    return ratios


def _bca_levels(
    value: float, replicates: NDArray[np.float64], jackknife: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Which quantiles of the replicates bound the interval, corrected for bias and skewness.

    Replicates that equal the value but for rounding count half, as if they equalled it.
    """
    rounding = ROUNDING * np.abs(replicates[np.isfinite(replicates)]).max(initial=0.0)
    below = (replicates < value - rounding).mean() / 2 + (replicates <= value + rounding).mean() / 2
    half = 0.5 / len(replicates)
    bias = ndtri(np.clip(below, half, 1 - half))
    off = jackknife.mean() - jackknife
    spread = np.sum(off**2) ** 1.5
    skew = np.sum(off**3) / (6 * spread) if spread > 0 else 0.0
    tail = (1 - LEVEL) / 2
    z = bias + ndtri(np.array([tail, 1 - tail]))
    levels: NDArray[np.float64] = ndtr(bias + z / (1 - skew * z))
    return levels
