"""The best slate against the enumeration of all ordered slates."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasteshift.envs.ceiling import best_slate, expected_reward
from tasteshift.envs.choice import position


def by_enumeration(utility, reward, nothing, size):
    values = [0.0]
    for count in range(1, size + 1):
        for slate in permutations(np.flatnonzero(np.isfinite(utility)), count):
            chosen = list(slate)
            values.append(
                expected_reward(utility[chosen] + position(count), reward[chosen], nothing)
            )
    return max(values)


def test_expected_reward_by_hand():
    utility, reward = np.log([2.0, 3.0]), np.array([0.5, 1.0])
    assert expected_reward(utility, reward, 0.0) == pytest.approx((2 * 0.5 + 3 * 1.0) / 6)
    assert expected_reward(np.array([]), np.array([]), 0.0) == 0.0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 3), nothing=st.floats(-3, 3))
def test_best_slate_equals_enumeration(seed, size, nothing):
    rng = np.random.default_rng(seed)
    utility, reward = rng.normal(0, 2, size=6), rng.uniform(size=6)
    utility[rng.integers(6)] = -np.inf
    slate, value = best_slate(utility, reward, nothing, size)
    assert value == pytest.approx(by_enumeration(utility, reward, nothing, size), rel=1e-9)
    placed = utility[slate] + position(len(slate))
    assert expected_reward(placed, reward[slate], nothing) == pytest.approx(value, rel=1e-12)
    assert np.isfinite(utility[slate]).all()


def test_a_slate_may_be_shorter_than_allowed_where_more_items_would_distract():
    slate, value = best_slate(np.array([3.0, 3.0]), np.array([1.0, 0.01]), 0.0, 2)
    assert slate.tolist() == [0]
    assert value == pytest.approx(np.exp(3) / (1 + np.exp(3)))
