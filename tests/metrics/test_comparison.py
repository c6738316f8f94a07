"""p-values and intervals agree with enumeration, closed forms and SciPy, and have nominal size."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from tasteshift.metrics import comparison
from tasteshift.metrics.comparison import (
    DRAWS,
    holm,
    linearized,
    paired_difference,
    rank_groups,
    unpaired_difference,
    users_needed,
)
from tasteshift.metrics.statistics import FEWEST_CLUSTERS, ratio_interval

NUMBERS = st.lists(st.integers(-20, 20).map(lambda n: n / 4), min_size=20, max_size=40)


@pytest.fixture
def fewer_draws(monkeypatch):
    """2,000 draws behind a p-value: a randomization test has its nominal size with any number."""
    monkeypatch.setattr(comparison, "DRAWS", 1_999)


def test_a_paired_difference_by_hand():
    found = paired_difference([3, 5, 4], [1, 4, 4], [2, 3, 1])
    assert (found.value, found.n) == (0.5, 3)
    assert (found.low, found.high, found.p) == (None, None, None)
    # residuals 2 - 1, 1 - 1.5, 0 - 0.5 about a mean of 0, over a mean denominator of 2
    assert found.std == pytest.approx(math.sqrt(1.5 / 2) / 2)
    assert paired_difference([1, 2], [0, 0], [1, -1]) is None
    assert paired_difference([], []) is None


def test_an_unpaired_difference_by_hand():
    found = unpaired_difference([1, 2, 3], [0, 4])
    assert (found.value, found.n, found.p) == (0.0, 2, None)
    assert found.std == pytest.approx(math.sqrt(1 + 8))
    assert unpaired_difference([1.0], []) is None
    assert unpaired_difference([1.0], [2.0]).std is None


def test_below_twenty_clusters_there_is_no_interval_and_no_p_value():
    x = np.linspace(0, 1, FEWEST_CLUSTERS)
    for found in (paired_difference(x[1:], 0 * x[1:]), unpaired_difference(x[1:], x)):
        assert (found.low, found.high, found.p) == (None, None, None)
    for found in (paired_difference(x, 0 * x), unpaired_difference(x, x + 1)):
        assert None not in (found.low, found.high, found.p)


def test_sign_flip_p_value_agrees_with_enumeration():
    rng = np.random.default_rng(1)
    off = np.concatenate([rng.normal(0.25, 1, 14), np.zeros(6)])
    signs = np.array(list(itertools.product((1, -1), repeat=14)))
    exact = (np.abs(signs @ off[:14]) >= abs(off.sum()) - 1e-12).mean()
    found = paired_difference(off, np.zeros(20)).p
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact / DRAWS))


def test_a_paired_interval_is_student_s():
    rng = np.random.default_rng(7)
    first, second = rng.normal(0.3, 1.0, 40), rng.normal(0, 1.0, 40)
    found, reach = (
        paired_difference(first, second),
        stats.ttest_rel(first, second).confidence_interval(0.95),
    )
    assert (found.low, found.high) == pytest.approx((reach.low, reach.high))
    half = paired_difference(first, second, np.full(40, 2.0))
    assert (half.low, half.high) == pytest.approx((reach.low / 2, reach.high / 2))


def test_no_interval_where_the_denominator_cannot_be_told_from_zero():
    denominator = np.where(np.arange(40) % 2, 1.0, -0.95)
    found = paired_difference(np.ones(40), np.zeros(40), denominator)
    assert (found.low, found.high) == (None, None)


def test_the_sign_flip_sum_orders_like_student_s_statistic():
    rng = np.random.default_rng(2)
    off = rng.normal(0.2, 1, 12)
    signs = np.array(list(itertools.product((1, -1), repeat=12)))
    sums = signs @ off
    student = stats.ttest_1samp(signs * off, 0, axis=1).statistic
    order = np.argsort(sums)
    assert (np.diff(student[order]) >= -1e-9).all()


def test_permutation_p_value_agrees_with_enumeration():
    few, many = np.array([2.0] + 19 * [0.0]), np.array([3.0, 1.0] + 18 * [0.0])
    pool = np.concatenate([few, many])

    def welch(x, y):
        return abs(x.mean() - y.mean()) / math.sqrt(x.var(ddof=1) / 20 + y.var(ddof=1) / 20)

    # only the sides of the three values that are not 0 matter; weigh each case by its probability
    total = 0.0
    for sides in itertools.product((0, 1), repeat=3):
        count = sum(sides)
        probability = math.comb(37, 20 - count) / math.comb(40, 20)
        x = np.zeros(20)
        y = np.zeros(20)
        for k, (side, value) in enumerate(zip(sides, (2.0, 3.0, 1.0), strict=True)):
            (x if side else y)[k] = value
        total += probability * (welch(x, y) >= welch(few, many) - 1e-12)
    assert len(pool) == 40
    assert unpaired_difference(few, many).p == pytest.approx(
        total, abs=4 * math.sqrt(total / DRAWS)
    )


def test_unpaired_difference_agrees_with_welch():
    rng = np.random.default_rng(3)
    first, second = rng.normal(0.3, 1.0, 150), rng.normal(0, 2.0, 90)
    found, welch = (
        unpaired_difference(first, second),
        stats.ttest_ind(first, second, equal_var=False),
    )
    reach = welch.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((reach.low, reach.high))
    assert found.p == pytest.approx(welch.pvalue, abs=0.02)


def test_different_constants_are_significant_and_equal_ones_are_not():
    ones, twos = np.ones(25), 2 * np.ones(30)
    apart, same = unpaired_difference(ones, twos), unpaired_difference(ones, np.ones(30))
    assert (apart.value, apart.low, apart.high) == (-1.0, -1.0, -1.0)
    assert apart.p == 1 / (1 + DRAWS)
    assert (same.value, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)
    still = paired_difference(ones, ones)
    assert (still.value, still.low, still.high, still.p, still.std) == (0.0, 0.0, 0.0, 1.0, 0.0)


def test_a_linearized_ratio_has_the_ratio_as_mean_and_its_error():
    rng = np.random.default_rng(4)
    bottom = rng.uniform(1, 3, 400)
    top = bottom * rng.normal(0.4, 0.2, 400)
    numbers = linearized(top, bottom)
    interval = ratio_interval(top, bottom)
    assert numbers.mean() == pytest.approx(top.sum() / bottom.sum())
    error = numbers.std(ddof=1) / math.sqrt(400)
    assert 2 * 1.96 * error == pytest.approx(interval.high - interval.low, rel=0.08)
    with pytest.raises(ValueError, match="more than 0"):
        linearized([1.0, 1.0], [0.0, 0.0])


@pytest.mark.parametrize(("p", "adjusted"), [
    ([], []),
    ([0.04], [0.04]),
    ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
    ([0.5, 0.9, 0.4], [1.0, 1.0, 1.0]),
])  # fmt: skip
def test_holm_by_hand(p, adjusted):
    assert holm(p) == pytest.approx(adjusted)


def test_rank_groups_by_hand():
    beats = {("a", "c"), ("a", "d"), ("b", "d")}
    groups = rank_groups("abcd", beats)
    assert groups == {"a": (1, 2), "b": (1, 3), "c": (2, 4), "d": (3, 4)}
    assert rank_groups("ab", set()) == {"a": (1, 2), "b": (1, 2)}


def test_users_needed_by_hand():
    assert users_needed(1.0, 1.0) == 8
    assert users_needed(0.3, -0.1) == 71
    assert users_needed(1.0, 0.1) == 785
    assert users_needed(1.0, 0.0) is None
    assert users_needed(0.0, 0.5) == 1


def test_users_needed_give_80_percent_power():
    rng = np.random.default_rng(5)
    n = users_needed(1.0, 0.25)
    off = rng.normal(0.25, 1.0, size=(4_000, n))
    found = (stats.ttest_1samp(off, 0, axis=1).pvalue < 0.05).mean()
    assert found == pytest.approx(0.80, abs=0.025)


@settings(max_examples=25, deadline=None)
@given(NUMBERS, st.randoms(use_true_random=False))
def test_paired_difference_is_antisymmetric_and_ignores_order_and_shifts(numbers, random):
    first = np.array(numbers)
    second = np.roll(first, 1) / 2
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there.value == -back.value
    assert there.p == back.p
    assert there.std == pytest.approx(back.std)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    order = random.sample(range(len(first)), len(first))
    same = ((first[order], second[order]), (first + 8, second + 8))
    assert [paired_difference(*one) for one in same] == [there, there]


@pytest.mark.usefixtures("fewer_draws")
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(NUMBERS, NUMBERS, st.randoms(use_true_random=False))
def test_unpaired_difference_is_antisymmetric_and_ignores_order_and_shifts(one, other, random):
    first, second = np.array(one), np.array(other)
    there, back = unpaired_difference(first, second), unpaired_difference(second, first)
    assert there.value == pytest.approx(-back.value)
    assert (there.p, there.n) == (back.p, back.n)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    again = unpaired_difference(random.sample(one, len(one)), random.sample(other, len(other)))
    assert again.value == pytest.approx(there.value)
    assert again.p == there.p
    moved = unpaired_difference(first + 8, second + 8)
    assert moved.value == pytest.approx(there.value)
    assert moved.p == there.p


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_order_and_lies_between_raw_and_bonferroni(p):
    adjusted = holm(p)
    assert all(a >= raw for a, raw in zip(adjusted, p, strict=True))
    assert all(a <= min(1.0, len(p) * raw) for a, raw in zip(adjusted, p, strict=True))
    assert [sorted(p).index(raw) for raw in sorted(p)] == [
        sorted(p).index(raw) for raw, _ in sorted(zip(p, adjusted, strict=True))
    ]


@pytest.mark.usefixtures("fewer_draws")
def test_equal_agents_are_rejected_at_the_nominal_rate():
    rng = np.random.default_rng(6)
    wrong = dict.fromkeys(("paired, skewed", "unpaired, skewed", "different size and variance"), 0)
    for _ in range(160):
        a, b = rng.exponential(size=30), rng.exponential(size=30)
        wrong["paired, skewed"] += paired_difference(a, b).p <= 0.05
        wrong["unpaired, skewed"] += unpaired_difference(a, b).p <= 0.05
        c, d = rng.normal(size=50), 3 * rng.normal(size=22)
        wrong["different size and variance"] += unpaired_difference(c, d).p <= 0.05
    for kind, count in wrong.items():
        assert stats.binomtest(count, 160, 0.05).pvalue > 0.001, kind


@pytest.mark.parametrize(
    ("first", "second", "denominator"),
    [([1.0, math.nan], [1.0, 1.0], None), ([[1.0]], [[1.0]], None), ([1.0], [1.0, 2.0], None)],
)
def test_nans_and_ragged_pairs_are_refused(first, second, denominator):
    with pytest.raises(ValueError, match="need one"):
        paired_difference(first, second, denominator)
