"""Satiation against the geometric series."""

import numpy as np
import pytest

from tasteshift.envs.dynamics.satiation import Satiation, recover, satiate, satiation_utility
from tasteshift.envs.numerics.grid import GRID

T = 5


@pytest.mark.parametrize("gap", [1, 3, 10])
def test_periodic_consumption_converges_as_a_geometric_series(gap):
    params = Satiation(half_life_days=4, cost=1)
    gamma = 0.5 ** (gap / 4)
    share = np.eye(T)[:1]
    state = np.zeros((1, T))
    tolerance = GRID / (1 - gamma)
    for n in range(1, 200):
        state = satiate(state, share)
        assert state[0, 0] == pytest.approx((1 - gamma**n) / (1 - gamma), abs=tolerance)
        if n < 199:
            state = recover(params, state, np.array([gap]))
    assert state[0, 0] == pytest.approx(1 / (1 - gamma), abs=tolerance)
    before = recover(params, state, np.array([gap]))[0, 0]
    assert before == pytest.approx(gamma / (1 - gamma), abs=tolerance)
    assert (state[0, 1:] == 0).all()


def test_satiation_halves_in_a_half_life_for_any_split_of_the_days():
    params = Satiation(half_life_days=12, cost=1)
    state = np.array([[1.0, 0.25, 3.0, 0.0, 8.0]])
    at_end = recover(params, state, np.array([12]))
    daily = state
    for _ in range(12):
        daily = recover(params, daily, np.array([1]))
    assert np.abs(at_end - state / 2).max() <= GRID
    assert np.abs(daily - at_end).max() <= 12 * GRID
    assert (recover(params, state, np.array([0])) == state).all()


def test_satiation_and_recovery_are_per_user():
    params = Satiation(half_life_days=1, cost=1)
    share = np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]])
    state = satiate(np.ones((3, T)), share)
    assert state.tolist() == (1 + share).tolist()
    after = recover(params, state, np.array([0, 1, 2]))
    assert after.tolist() == [(1 + share[0]).tolist(), [0.5] * T, [0.25, 0.25, 0.25, 0.5, 0.25]]


def test_utility_is_proportional_to_satiation():
    utility = satiation_utility(Satiation(half_life_days=1, cost=0.5), np.array([[0.0, 1.0, 3.0]]))
    assert utility.tolist() == [[0.0, -0.5, -1.5]]


def test_states_lie_on_the_grid():
    params = Satiation(half_life_days=3, cost=0.7)
    state = recover(params, satiate(np.zeros((1, 3)), np.full((1, 3), 1 / 3)), np.array([2]))
    for value in (state, satiation_utility(params, state)):
        assert (value / GRID == np.rint(value / GRID)).all()
        assert (value != 0).all()
