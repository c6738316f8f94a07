"""Intervals have nominal coverage and agree with an independent implementation."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from tasteshift.metrics.statistics import (
    FEWEST_CLUSTERS,
    _resampled_sums,
    quantile_interval,
    ratio_interval,
)


def test_a_ratio_of_sums_by_hand():
    found = ratio_interval([1, 2, 6], [2, 3, 4])
    assert (found.value, found.n) == (1.0, 3)
    assert (found.low, found.high) == (None, None)


def test_no_estimate_without_a_positive_denominator():
    assert ratio_interval([], []) is None
    assert ratio_interval([1.0, 2.0], [0.0, 0.0]) is None
    assert ratio_interval([1.0, 2.0], [1.0, -3.0]) is None
    assert quantile_interval([], [], 0.5) is None


def test_the_interval_appears_at_twenty_clusters():
    ones = np.ones(FEWEST_CLUSTERS)
    top = np.arange(FEWEST_CLUSTERS)
    assert ratio_interval(top[1:], ones[1:]).low is None
    assert ratio_interval(top, ones).low is not None
    assert quantile_interval(top[1:], top[1:], 0.5).low is None
    assert quantile_interval(top, top, 0.5).low is not None


def test_no_interval_where_the_denominator_cannot_be_told_from_zero():
    bottom = np.where(np.arange(40) % 2, 1.0, -0.95)
    found = ratio_interval(np.ones(40), bottom)
    assert found.value == pytest.approx(40.0)
    assert (found.low, found.high) == (None, None)


def test_constants_have_an_interval_of_width_0():
    bottom = np.linspace(0.1, 3.0, 50)
    same, zero = ratio_interval(bottom, bottom), ratio_interval(0 * bottom, bottom)
    assert (same.value, same.low, same.high) == (1.0, 1.0, 1.0)
    assert (zero.value, zero.low, zero.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("top", "bottom", "why"),
    [
        ([1.0, math.nan], [1.0, 1.0], "finite"),
        ([1.0], [1.0, 2.0], "one denominator a cluster"),
        ([[1.0]], [[1.0]], "one denominator a cluster"),
    ],
)
def test_nans_and_ragged_input_are_refused(top, bottom, why):
    with pytest.raises(ValueError, match=why):
        ratio_interval(top, bottom)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 5)), min_size=20, max_size=60),
    st.randoms(use_true_random=False),
)
def test_the_order_of_users_does_not_matter(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    first = ratio_interval(*zip(*pairs, strict=True), resamples=200)
    second = ratio_interval(*zip(*shuffled, strict=True), resamples=200)
    assert first == second


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 9), st.integers(0, 40)), min_size=30, max_size=90),
    st.sampled_from([0.05, 0.5, 0.95]),
    st.randoms(use_true_random=False),
)
def test_the_order_of_values_does_not_matter(rows, q, random):
    values, users = zip(*rows, strict=True)
    again, owners = zip(*random.sample(rows, len(rows)), strict=True)
    renamed = [f"user {7 * owner % 41}" for owner in owners]
    assert quantile_interval(values, users, q) == quantile_interval(again, renamed, q)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=20, max_size=60), st.floats(0.1, 10))
@example([0.0] * 17 + [1.0, 1.2004729597524557, 0.45], 0.109375)
def test_the_interval_scales_with_the_values(top, factor):
    ones = np.ones(len(top))
    base = ratio_interval(top, ones, resamples=200)
    scaled = ratio_interval(np.asarray(top) * factor, ones, resamples=200)
    assert [scaled.value, scaled.low, scaled.high] == pytest.approx(
        [base.value * factor, base.low * factor, base.high * factor], abs=1e-6
    )


@pytest.mark.parametrize("skewed", [False, True])
def test_ratio_interval_agrees_with_scipy(skewed):
    rng = np.random.default_rng(3)
    bottom = rng.uniform(0.5, 1.5, 80)
    top = bottom * (rng.exponential(size=80) ** 2 if skewed else rng.normal(0.4, 0.3, 80))
    ours = ratio_interval(top, bottom, resamples=20_000)
    theirs = stats.bootstrap(
        (top, bottom),
        lambda a, b, axis=-1: a.sum(axis=axis) / b.sum(axis=axis),
        confidence_level=2 * stats.norm.cdf(stats.t.ppf(0.975, 79) * math.sqrt(80 / 79)) - 1,
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="BCa",
        rng=np.random.default_rng(4),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_sums_of_draws_have_the_distribution_of_draws_with_replacement():
    values = np.array([0.0, 1.0, 5.0])
    drawn = _resampled_sums(values + 2j * values, 60_000)
    assert drawn.imag == pytest.approx(2 * drawn.real)
    sums, counts = np.unique(drawn.real, return_counts=True)
    exact = Counter(map(sum, itertools.product(values, repeat=3)))
    assert sums.tolist() == sorted(exact)
    expected = np.array([exact[one] for one in sums]) / 27 * 60_000
    assert stats.chisquare(counts, expected).pvalue > 0.001


@pytest.mark.parametrize("n", [256, 257, 700])
def test_sums_over_several_blocks_have_the_moments_of_the_bootstrap(n):
    values = np.random.default_rng(8).exponential(size=n)
    drawn = _resampled_sums(values + 1j, 20_000)
    assert (drawn.imag == n).all()
    spread = values.std() * math.sqrt(n)
    assert drawn.real.mean() == pytest.approx(values.sum(), abs=4 * spread / math.sqrt(20_000))
    assert drawn.real.std() == pytest.approx(spread, rel=0.025)
    skew = stats.skew(values) / math.sqrt(n)
    assert stats.skew(drawn.real) == pytest.approx(skew, abs=4 * math.sqrt(6 / 20_000))


def test_quantile_interval_agrees_with_scipy():
    values = np.random.default_rng(5).gamma(2.0, size=2_000)
    ours = quantile_interval(values, np.arange(2_000), 0.5)
    theirs = stats.bootstrap(
        (values,), np.median, method="percentile", rng=np.random.default_rng(6)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == np.median(values)
    assert ours.low == pytest.approx(theirs.low, abs=0.1 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.1 * width)


def _covered(hits, repetitions):
    """Whether the number of hits is plausible at 95 % coverage (binomial test at 0.001)."""
    return stats.binomtest(hits, repetitions, 0.95).pvalue > 0.001


def test_ratio_coverage_is_nominal():
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(400):
        turns = rng.integers(5, 15, size=100).astype(float)
        taste = rng.normal(0.3, 0.1, size=100)
        found = ratio_interval(turns * taste, turns, resamples=600)
        hits += found.low <= 0.3 <= found.high
    assert _covered(hits, 400)


@pytest.mark.parametrize("q", [0.5, 0.9])
def test_quantile_coverage_is_nominal_where_users_differ(q):
    rng = np.random.default_rng(12)
    true_quantile = stats.norm.ppf(q, scale=math.sqrt(2))
    hits = hits_unclustered = 0
    for _ in range(400):
        values = rng.normal(size=(150, 1)) + rng.normal(size=(150, 8))
        users = np.repeat(np.arange(150), 8)
        found = quantile_interval(values.ravel(), users, q, resamples=600)
        hits += found.low <= true_quantile <= found.high
        alone = quantile_interval(values.ravel(), np.arange(1200), q, resamples=100)
        hits_unclustered += alone.low <= true_quantile <= alone.high
    assert _covered(hits, 400)
    assert not _covered(hits_unclustered, 400)
