"""A fall and a recovery that were made by hand, so that every number is known beforehand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasteshift.metrics import METRICS
from tasteshift.metrics.adaptation import sessions_of
from tasteshift.metrics.statistics import FEWEST_CLUSTERS, sums_interval


@pytest.fixture(scope="session")
def shifted(served, traced):
    """Lives that serve 0.8 for two sessions, then 0.8 less the given drops; their twins stay."""

    def of(*drops, unit="user"):
        parts = []
        for user, drop in enumerate(drops):
            after = [0.8 - d for d in drop]
            regime = [0, 0] + [1] * len(drop)
            key = {"seed" if unit == "seed" else "user": user}
            parts.append(served([0.8, 0.8, *after], regime, **key))
            parts.append(served([0.8] * (2 + len(drop)), policy="agent-counterfactual", **key))
        return traced(pd.concat(parts), unit=unit)

    return of


def test_g_of_a_session_is_a_ratio_of_sums(steps, traced):
    table = steps(
        {"expected": 0.1, "best": 0.5},
        {"turn": 1, "expected": 0.3, "best": 0.3},
        {"session": 1, "expected": 0.0, "best": 0.0},
        {"session": 2, "expected": 0.2, "best": 0.4, "regime": 1, "gift": True},
        {"policy": "oracle"},
    )
    found = sessions_of(traced(table), "agent")
    assert found["g"].tolist() == pytest.approx([0.5, 1.0, 0.5])
    assert found["regime"].tolist() == [0, 0, 1]
    assert found["gift"].tolist() == [False, False, True]


def test_the_level_before_the_change_by_hand(served, traced, value):
    table = pd.concat(
        [
            served([0.6, 0.8, 0.1], [1, 1, 2]),
            served([0.4, 0.1, 0.1], [0, 1, 1], user=1),
            served([0.9, 0.9, 0.9], user=2),
        ]
    )
    found = METRICS.get("level_before_change").estimate(traced(table))
    assert (found.value, found.n) == (pytest.approx((0.7 + 0.4) / 2), 2)
    assert value("level_before_change", traced(served([0.9, 0.9]))) is None


def test_the_cost_by_hand_ends_after_four_sessions_or_with_the_life(shifted, value):
    trace = shifted([0.4, 0.3, 0.2, 0.1, 0.8], [0.5, 0.1])
    assert value("adaptation_cost", trace) == pytest.approx((1.0 + 0.6) / 2)


def test_the_twin_must_not_have_changed_too(served, traced, value):
    mine, other = (
        served([0.8, 0.2], [0, 1]),
        served([0.8, 0.8], [0, 1], policy="agent-counterfactual"),
    )
    for name in ("adaptation_cost", "adaptation_half_life"):
        assert value(name, traced(mine)) is None
        assert value(name, traced(pd.concat([mine, other]))) is None
        assert value(name, traced(pd.concat([mine.assign(regime=0), other]))) is None


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-0.2, 0.8), min_size=1, max_size=4), st.floats(0.01, 0.2), st.data())
def test_serving_better_after_the_change_costs_less(shifted, value, drops, gain, data):
    at = data.draw(st.integers(0, len(drops) - 1))
    better = [d - gain * (k == at) for k, d in enumerate(drops)]
    before, after = (value("adaptation_cost", shifted(d)) for d in (drops, better))
    assert after == pytest.approx(before - gain)


def test_without_any_drop_there_is_no_cost_and_no_half_life(shifted, value):
    trace = shifted(*[[0.0, 0.0]] * 30)
    assert value("adaptation_cost", trace) == pytest.approx(0)
    assert value("adaptation_half_life", trace) is None
    noise = shifted(*[[0.1], [-0.1]] * 15)
    assert value("adaptation_half_life", noise) is None
    assert value("adaptation_half_life", shifted(*[[0.4, 0.1]] * (FEWEST_CLUSTERS - 1))) is None


def test_the_half_life_by_hand_lies_on_a_line_between_sessions(shifted):
    found = METRICS.get("adaptation_half_life").estimate(shifted(*[[0.4, 0.3, 0.1, 0.0]] * 25))
    assert [found.value, found.low, found.high] == pytest.approx([1.5, 1.5, 1.5])
    assert found.n == 25


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.floats(0.1, 0.8))
def test_the_half_life_of_an_exponential_decay_is_its_half_life(shifted, half_life, start):
    # where the k-th drop equals half of the first, only rounding decides which line is used
    drops = [start * 2 ** (-k / half_life) for k in range(7)]
    found = METRICS.get("adaptation_half_life").estimate(shifted(*[drops] * 20))
    assert found.value == pytest.approx(half_life)


def test_a_recovery_that_is_not_seen_takes_at_least_so_long(shifted):
    never = METRICS.get("adaptation_half_life").estimate(shifted(*[[0.4, 0.35, 0.3]] * 25))
    assert (never.value, never.low, never.high) == (2.0, 2.0, None)
    some = [[0.4, 0.0, 0.0]] * 12 + [[0.4, 0.4, 0.39]] * 13
    perhaps = METRICS.get("adaptation_half_life").estimate(shifted(*some))
    assert (perhaps.value, perhaps.high) == (2.0, None)
    assert 0.5 < perhaps.low < 2.0


def test_sessions_that_few_lives_reach_do_not_count(shifted):
    drops = [[0.4, 0.3]] * 16 + [[0.4, 0.3, 0.0]] * 9
    found = METRICS.get("adaptation_half_life").estimate(shifted(*drops))
    assert (found.value, found.high) == (1.0, None)


def test_stale_preferences_by_hand(steps, traced):
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


def test_the_residue_of_gifts_by_hand(served, traced, value):
    mine = served([0.8, 0.1, 0.1, 0.5, 0.7], gift=[False, True, True, False, False])
    first = served([0.1, 0.6], gift=[True, False], user=1)
    twins = [
        served([0.9, 0.9, 0.9, 0.8, 0.9], policy="agent-counterfactual"),
        served([0.9, 0.8], policy="agent-counterfactual", user=1),
    ]
    trace = traced(pd.concat([mine, first, *twins]))
    assert value("gift_residue", trace) == pytest.approx((0.3 + 0.2) / 2)
    assert value("gift_residue", traced(pd.concat([mine, first]))) is None
    nobody = traced(pd.concat([mine.assign(gift=False), twins[0]]))
    assert value("gift_residue", nobody) is None
    also = served([0.9] * 5, gift=[True] + [False] * 4, policy="agent-counterfactual")
    assert value("gift_residue", traced(pd.concat([mine, also]))) is None


def test_where_an_agent_learns_across_users_the_seed_is_drawn(shifted):
    found = METRICS.get("adaptation_cost").estimate(shifted([0.4], [0.2], [0.0], unit="seed"))
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


def test_a_statistic_that_is_nowhere_defined_has_no_estimate():
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
