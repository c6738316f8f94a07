"""Adaptation metrics on made-up losses and recoveries whose results are known."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasteshift.metrics import METRICS
from tasteshift.metrics.adaptation import session_quality
from tasteshift.metrics.statistics import FEWEST_CLUSTERS, sums_interval


@pytest.fixture(scope="session")
def shifted(qualities, traced):
    """Traces with quality 0.8, from session 2 on less the losses; counterfactuals stay at 0.8."""

    def of(*losses, cluster_by="user"):
        parts = []
        for user, loss in enumerate(losses):
            after = [0.8 - d for d in loss]
            regime = [0, 0] + [1] * len(loss)
            key = {cluster_by: user}
            parts.append(qualities([0.8, 0.8, *after], regime, **key))
            parts.append(qualities([0.8] * (2 + len(loss)), policy="agent-counterfactual", **key))
        return traced(pd.concat(parts), cluster_by=cluster_by)

    return of


def test_session_quality_is_a_ratio_of_sums(steps, traced):
    table = steps(
        {"expected": 0.1, "best": 0.5},
        {"turn": 1, "expected": 0.3, "best": 0.3},
        {"session": 1, "expected": 0.0, "best": 0.0},
        {"session": 2, "expected": 0.2, "best": 0.4, "regime": 1, "gift": True},
        {"policy": "oracle"},
    )
    found = session_quality(traced(table), "agent")
    assert found["quality"].tolist() == pytest.approx([0.5, 1.0, 0.5])
    assert found["regime"].tolist() == [0, 0, 1]
    assert found["gift"].tolist() == [False, False, True]


def test_level_before_change_by_hand(qualities, traced, value):
    table = pd.concat(
        [
            qualities([0.6, 0.8, 0.1], [1, 1, 2]),
            qualities([0.4, 0.1, 0.1], [0, 1, 1], user=1),
            qualities([0.9, 0.9, 0.9], user=2),
        ]
    )
    found = METRICS.get("level_before_change").estimate(traced(table))
    assert (found.value, found.n) == (pytest.approx((0.7 + 0.4) / 2), 2)
    assert value("level_before_change", traced(qualities([0.9, 0.9]))) is None


def test_adaptation_cost_by_hand_covers_four_sessions_or_fewer(shifted, value):
    trace = shifted([0.4, 0.3, 0.2, 0.1, 0.8], [0.5, 0.1])
    assert value("adaptation_cost", trace) == pytest.approx((1.0 + 0.6) / 2)


def test_no_cost_where_the_counterfactual_changes_too(qualities, traced, value):
    mine, other = (
        qualities([0.8, 0.2], [0, 1]),
        qualities([0.8, 0.8], [0, 1], policy="agent-counterfactual"),
    )
    for name in ("adaptation_cost", "adaptation_half_life"):
        assert value(name, traced(mine)) is None
        assert value(name, traced(pd.concat([mine, other]))) is None
        assert value(name, traced(pd.concat([mine.assign(regime=0), other]))) is None


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-0.2, 0.8), min_size=1, max_size=4), st.floats(0.01, 0.2), st.data())
def test_higher_quality_after_the_change_costs_less(shifted, value, losses, gain, data):
    at = data.draw(st.integers(0, len(losses) - 1))
    better = [d - gain * (k == at) for k, d in enumerate(losses)]
    before, after = (value("adaptation_cost", shifted(d)) for d in (losses, better))
    assert after == pytest.approx(before - gain)


def test_without_a_loss_the_cost_is_0_and_there_is_no_half_life(shifted, value):
    trace = shifted(*[[0.0, 0.0]] * 30)
    assert value("adaptation_cost", trace) == pytest.approx(0)
    assert value("adaptation_half_life", trace) is None
    noise = shifted(*[[0.1], [-0.1]] * 15)
    assert value("adaptation_half_life", noise) is None
    assert value("adaptation_half_life", shifted(*[[0.4, 0.1]] * (FEWEST_CLUSTERS - 1))) is None


def test_half_life_by_hand_is_interpolated_between_sessions(shifted):
    found = METRICS.get("adaptation_half_life").estimate(shifted(*[[0.4, 0.3, 0.1, 0.0]] * 25))
    assert [found.value, found.low, found.high] == pytest.approx([1.5, 1.5, 1.5])
    assert found.n == 25


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.floats(0.1, 0.8))
def test_half_life_of_an_exponential_decay_is_its_half_life(shifted, half_life, start):
    # where the k-th loss equals half of the first, rounding decides which segment is used
    losses = [start * 2 ** (-k / half_life) for k in range(7)]
    found = METRICS.get("adaptation_half_life").estimate(shifted(*[losses] * 20))
    assert found.value == pytest.approx(half_life)


def test_a_recovery_beyond_the_last_session_has_a_lower_bound_only(shifted):
    never = METRICS.get("adaptation_half_life").estimate(shifted(*[[0.4, 0.35, 0.3]] * 25))
    assert (never.value, never.low, never.high) == (2.0, 2.0, None)
    some = [[0.4, 0.0, 0.0]] * 12 + [[0.4, 0.4, 0.39]] * 13
    perhaps = METRICS.get("adaptation_half_life").estimate(shifted(*some))
    assert (perhaps.value, perhaps.high) == (2.0, None)
    assert 0.5 < perhaps.low < 2.0


def test_sessions_that_fewer_than_half_of_the_episodes_reach_do_not_count(shifted):
    losses = [[0.4, 0.3]] * 16 + [[0.4, 0.3, 0.0]] * 9
    found = METRICS.get("adaptation_half_life").estimate(shifted(*losses))
    assert (found.value, found.high) == (1.0, None)


def test_stale_preference_rate_by_hand(steps, traced):
    shown = {"slate": [1, 2, 3, 4, 5]}
    table = steps(
        {"stale": 5, **shown},
        {"session": 1, "regime": 1, "stale": 2, **shown},
        {"session": 2, "regime": 1, "stale": 1, **shown},
        {"user": 1, "regime": 1, "stale": 4, **shown},
        {"policy": "oracle", "stale": 4, **shown},
        {"policy": "oracle", "session": 1, "regime": 1, "stale": 1, **shown},
        {"policy": "oracle", "user": 1, "regime": 1, **shown},
    )
    found = METRICS.get("stale_preference_rate").estimate(traced(table))
    assert (found.value, found.n) == (pytest.approx(3 / 10 - 1 / 5), 1)
    steady = METRICS.get("stale_preference_rate").estimate(traced(table.assign(regime=0)))
    assert (steady.value, steady.n) == (pytest.approx(12 / 20 - 5 / 15), 2)


def test_no_stale_rate_without_the_oracle_or_where_nothing_is_ever_stale(steps, traced, value):
    both = steps({"stale": 1}, {"policy": "oracle", "stale": 0})
    assert value("stale_preference_rate", traced(both)) == pytest.approx(0.5)
    assert value("stale_preference_rate", traced(both[:1])) is None
    assert value("stale_preference_rate", traced(both.assign(stale=0))) is None


def test_gift_residue_by_hand(qualities, traced, value):
    mine = qualities([0.8, 0.1, 0.1, 0.5, 0.7], gift=[False, True, True, False, False])
    first = qualities([0.1, 0.6], gift=[True, False], user=1)
    counterfactuals = [
        qualities([0.9, 0.9, 0.9, 0.8, 0.9], policy="agent-counterfactual"),
        qualities([0.9, 0.8], policy="agent-counterfactual", user=1),
    ]
    trace = traced(pd.concat([mine, first, *counterfactuals]))
    assert value("gift_residue", trace) == pytest.approx((0.3 + 0.2) / 2)
    assert value("gift_residue", traced(pd.concat([mine, first]))) is None
    nobody = traced(pd.concat([mine.assign(gift=False), counterfactuals[0]]))
    assert value("gift_residue", nobody) is None
    also = qualities([0.9] * 5, gift=[True] + [False] * 4, policy="agent-counterfactual")
    assert value("gift_residue", traced(pd.concat([mine, also]))) is None


def test_on_the_cohort_track_seeds_are_the_clusters(shifted):
    found = METRICS.get("adaptation_cost").estimate(shifted([0.4], [0.2], [0.0], cluster_by="seed"))
    assert (found.value, found.n) == (pytest.approx(0.2), 3)


def _difference(sums):
    return sums[..., 0] / sums[..., 1] - sums[..., 2] / sums[..., 3]


def test_the_interval_of_a_difference_of_ratios_agrees_with_scipy():
    rng = np.random.default_rng(7)
    rows = rng.gamma(2.0, size=(60, 4)) + rng.gamma(1.0, size=(60, 1))
    ours = sums_interval(rows, _difference, resamples=20_000)
    # our tails are Student's, stretched by √(n / (n − 1)): a higher level of the plain bootstrap
    level = 2 * stats.norm.cdf(stats.t.ppf(0.975, 59) * math.sqrt(60 / 59)) - 1
    theirs = stats.bootstrap(
        tuple(rows.T),
        lambda *columns, axis=-1: _difference(np.stack([c.sum(axis=axis) for c in columns], -1)),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="BCa",
        confidence_level=level,
        rng=np.random.default_rng(8),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(_difference(rows.sum(axis=0)))
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=0.03 * width)


def test_a_statistic_that_is_not_defined_has_no_estimate():
    assert sums_interval(np.zeros((30, 4)), _difference_or_nan) is None
    assert sums_interval(np.zeros((0, 4)), _difference_or_nan) is None
    one = np.zeros((30, 4))
    one[0] = 1.0
    found = sums_interval(one, _difference_or_nan)
    assert (found.value, found.low, found.high) == (0.0, None, None)


def _difference_or_nan(sums):
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(_difference(sums))


def test_the_ends_of_a_censored_statistic_may_be_infinite():
    rows = np.repeat([[1.0], [-1.0]], [28, 12], axis=0)
    plain = sums_interval(
        rows, lambda sums: np.where(sums[..., 0] > 9, math.inf, 2.0), corrected=False
    )
    assert (plain.value, plain.low, plain.high) == (math.inf, 2.0, math.inf)
