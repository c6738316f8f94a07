"""Trust against the random walk that it follows between its bounds."""

import numpy as np
import pytest

from tasteshift.envs.dynamics.trust import Trust, update_trust
from tasteshift.envs.numerics.grid import GRID

PARAMS = Trust(start=0.5, gain=0.6, reference=0.25, penalty=0.1)
NONE = np.zeros(1, dtype=int)


def test_constant_rewards_move_trust_linearly_to_its_bound():
    for reward in (0.25, 0.3, 0.2):
        trust = np.array([PARAMS.start])
        for n in range(1, 40):
            trust = update_trust(PARAMS, trust, np.array([reward]), NONE)
            line = np.clip(0.5 + n * 0.6 * (reward - 0.25), 0, 1)
            assert trust[0] == pytest.approx(line, abs=n * GRID)


def test_random_rewards_give_a_random_walk():
    params, users, n = Trust(0.5, gain=0.05, reference=0.4, penalty=0.1), 20_000, 12
    rewards = np.random.default_rng(0).random((n, users))
    trust = np.full(users, 0.5)
    for reward in rewards:
        trust = update_trust(params, trust, reward, np.zeros(users, dtype=int))
    assert trust.min() > 0
    assert trust.max() < 1  # never clipped
    variance = n * 0.05**2 / 12
    assert trust.mean() == pytest.approx(
        0.5 + n * 0.05 * (0.5 - 0.4), abs=4 * np.sqrt(variance / users)
    )
    assert trust.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / users))


def test_violations_cost_their_penalty_each_and_trust_stays_within_bounds():
    trust, reward = np.full(4, 0.5), np.full(4, 0.25)
    after = update_trust(PARAMS, trust, reward, np.array([0, 1, 3, 9]))
    assert after == pytest.approx([0.5, 0.4, 0.2, 0.0], abs=GRID)
    assert (after / GRID == np.rint(after / GRID)).all()
    assert update_trust(PARAMS, np.array([0.9]), np.array([1.0]), NONE)[0] == 1.0
