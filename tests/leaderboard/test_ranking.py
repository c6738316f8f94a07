"""Ranks: significance tests, Holm correction and intervals."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasteshift.leaderboard.ranking import (
    AgentReturns,
    _paired,
    _welch,
    mean_of,
    mean_of_sample,
    mean_return,
    ranks,
)


def entry(rng, users, value, attempts=1, spread=0.3, group="") -> AgentReturns:
    """Returns of users with an achievable return of 1 and a mean of `value`."""
    made = []
    for _ in range(attempts):
        achieved = value + spread * rng.standard_normal(users)
        made.append(np.column_stack([achieved, np.ones(users)]))
    return AgentReturns(tuple(made), group or f"{rng.integers(2**62)}")


def test_the_mean_is_that_of_the_attempts():
    first = np.array([[1.0, 2.0], [2.0, 2.0]])
    second = np.array([[0.0, 5.0], [1.0, 5.0]])
    found = mean_return(AgentReturns((first, second), "a"))
    assert found is not None
    assert found.value == pytest.approx((3 / 4 + 1 / 10) / 2)
    assert found.n == 4


def test_the_interval_of_a_mean_by_hand():
    assert mean_of([(0.5, 0.4, 0.7)]) == (0.5, 0.4, 0.7)
    value, low, high = mean_of([(0.5, 0.4, 0.7), (0.3, 0.0, 0.4)])
    assert value == pytest.approx(0.4)
    assert low == pytest.approx(0.4 - sqrt(0.1**2 + 0.3**2) / 2)
    assert high == pytest.approx(0.4 + sqrt(0.2**2 + 0.1**2) / 2)
    assert mean_of([(0.5, None, 0.7), (0.3, 0.0, 0.4)])[1] is None


def test_clear_differences_separate_and_small_ones_do_not():
    rng = np.random.default_rng(1)
    entries = {7: entry(rng, 60, 0.9), 8: entry(rng, 60, 0.2), 9: entry(rng, 60, 0.21)}
    assert ranks(entries) == {7: (1, 1), 8: (2, 3), 9: (2, 3)}
    few = {7: entry(rng, 10, 0.9), 8: entry(rng, 10, 0.2)}
    assert ranks(few) == {7: (1, 2), 8: (1, 2)}


def test_p_values_match_scipy():
    rng = np.random.default_rng(4)
    mine, theirs = rng.standard_normal(30), 0.5 + 2 * rng.standard_normal(50)
    known = stats.ttest_ind(mine, theirs, equal_var=False)
    means = mean_of_sample(mine), mean_of_sample(theirs)
    assert _welch(*means) == pytest.approx((known.statistic, known.pvalue))
    known = stats.ttest_rel(mine, theirs[:30])
    assert _paired(mine, theirs[:30]) == pytest.approx((known.statistic, known.pvalue))


def test_entries_with_the_same_users_are_compared_in_pairs():
    """Differences between users cancel, so that a small difference is significant."""
    rng = np.random.default_rng(2)
    level = rng.standard_normal(40)
    noise = 0.01 * rng.standard_normal((2, 40))
    mine, theirs = (
        np.column_stack([level + gain + off, np.ones(40)])
        for gain, off in zip((0.05, 0.0), noise, strict=True)
    )
    assert ranks({1: AgentReturns((mine,), "w"), 2: AgentReturns((theirs,), "w")}) == {
        1: (1, 1),
        2: (2, 2),
    }
    assert ranks({1: AgentReturns((mine,), "w"), 2: AgentReturns((theirs,), "v")}) == {
        1: (1, 2),
        2: (1, 2),
    }


def test_the_best_of_twenty_equal_entries_shares_its_rank():
    """With twenty equal agents, the best is alone in first place in at most 10 % of cases."""
    rng = np.random.default_rng(3)
    alone = 0
    for _ in range(100):
        found = ranks({k: entry(rng, 40, 0.5) for k in range(20)})
        alone += any(high == 1 for _, high in found.values())
    assert alone <= 10


def test_the_error_covers_differences_between_attempts():
    """Equal agents whose attempts differ are separated as rarely as the level promises."""
    rng = np.random.default_rng(5)
    apart = {1: 0, 5: 0}
    for attempts in apart:
        for _ in range(400):
            pair = {}
            for name in "ab":
                levels = 0.5 + 0.1 * rng.standard_normal(attempts)
                parts = [entry(rng, 60, level, spread=0.16).attempts[0] for level in levels]
                pair[name] = AgentReturns(tuple(parts), name)
            apart[attempts] += ranks(pair) != {"a": (1, 2), "b": (1, 2)}
    assert apart[5] <= 0.08 * 400
    assert apart[1] > 0.3 * 400, "one attempt cannot measure differences between attempts"


def test_the_interval_of_several_attempts_by_hand():
    near = entry(np.random.default_rng(6), 30, 0.0, spread=0.01).attempts[0]
    far = near + np.array([1.0, 0.0])
    found = mean_return(AgentReturns((near, far), "a"))
    assert found is not None
    means = [part[:, 0].mean() for part in (near, far)]
    known = stats.t.interval(0.95, 1, loc=np.mean(means), scale=np.std(means, ddof=1) / sqrt(2))
    assert (found.low, found.high) == pytest.approx(known)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_ranks_are_consistent(seed, count):
    rng = np.random.default_rng(seed)
    found = ranks({k: entry(rng, 25, rng.random()) for k in range(count)})
    assert set(found) == set(range(count))
    assert all(1 <= low <= high <= count for low, high in found.values())
    assert min(low for low, _ in found.values()) == 1
