"""Patience against the expected length of a session, by the renewal equation."""

import numpy as np
import pytest

from tasteshift.envs.dynamics.patience import Patience, update_patience


def lengths(params: Patience, refusal: float, users: int) -> np.ndarray:
    draws = np.random.default_rng(0)
    patience, length = np.full(users, params.start), np.zeros(users)
    while (patience > 0).any():
        length += patience > 0
        patience = update_patience(params, patience, draws.random(users) >= refusal)
    return length


def moments(start: int, cost: int, refusal: float) -> tuple[float, float]:
    """Mean and variance of the length, from E[L] and E[L²] for every patience up to `start`."""
    first, second = {}, {}
    for p in range(-cost, 1):
        first[p] = second[p] = 0.0
    for p in range(1, start + 1):
        after = [(refusal, p - 1 - cost), (1 - refusal, p - 1)]
        first[p] = sum(q * (1 + first[k]) for q, k in after)
        second[p] = sum(q * (1 + 2 * first[k] + second[k]) for q, k in after)
    return first[start], second[start] - first[start] ** 2


@pytest.mark.parametrize(("start", "cost", "refusal"), [(6, 1, 0.5), (20, 3, 0.3), (5, 0, 0.9)])
def test_session_lengths_match_the_renewal_equation(start, cost, refusal):
    length = lengths(Patience(start, cost), refusal, users=20_000)
    mean, variance = moments(start, cost, refusal)
    assert length.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / 20_000) + 1e-12)
    assert length.var() == pytest.approx(variance, rel=0.05, abs=1e-12)


def test_turns_by_hand():
    params = Patience(start=4, refusal_cost=1.5)
    now = np.array([4.0, 4.0, 2.0, 0.5])
    picked = np.array([True, False, False, True])
    assert update_patience(params, now, picked).tolist() == [3.0, 1.5, 0.0, 0.0]


def test_users_without_refusals_stay_for_their_patience():
    assert (lengths(Patience(7, 2), refusal=0.0, users=3) == 7).all()
    assert (lengths(Patience(9, 2), refusal=1.0, users=3) == 3).all()
