"""Return against the geometric distribution, and the hazard against its formula."""

import numpy as np
import pytest
from scipy import stats

from tasteshift.envs.dynamics.retention import Retention, days_away, return_hazard

USERS = 20_000


def away(params, reward, trust, seed=0, day=10, users=USERS):
    rows = np.arange(users)
    full = np.full(users, day), np.full(users, reward), np.full(users, trust)
    return days_away(params, seed, rows, *full)


@pytest.mark.parametrize(("reward", "trust"), [(0.5, 0.5), (0.2, 0.1), (1.0, 1.0)])
def test_days_away_have_the_truncated_geometric_distribution(reward, trust):
    h = 0.1 * reward + 0.4 * trust
    counts = np.bincount(away(Retention(0.0, 60), reward, trust), minlength=15)
    k = np.arange(1, 15)
    expected = USERS * np.append((1 - h) ** 14, h * (1 - h) ** (k - 1))
    assert expected.sum() == pytest.approx(USERS)
    small = expected < 5
    lumped = [np.append(n[~small], n[small].sum()) for n in (counts, expected)]
    if not small.any():
        lumped = [counts, expected]
    assert stats.chisquare(*lumped).pvalue > 1e-3


def test_biases_are_uniform_around_the_base():
    rows = np.arange(USERS)
    nothing = np.zeros(USERS)
    hazard = return_hazard(Retention(0.2, 60), 0, rows, nothing, nothing)
    assert stats.kstest(hazard, stats.uniform(0.1, 0.2).cdf).pvalue > 1e-3
    churned = (away(Retention(0.2, 60, churn_days=7), 0.0, 0.0) == 0).mean()
    expected = (0.9**8 - 0.7**8) / 8 / 0.2  # ∫ (1 − h)⁷ dh over the uniform distribution of h
    assert churned == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / USERS))


def test_the_hazard_matches_its_formula_within_its_bounds():
    rows, params = np.arange(3), Retention(0.1, 60)
    bias = return_hazard(params, 3, rows, np.zeros(3), np.zeros(3))
    hazard = return_hazard(params, 3, rows, np.array([0.0, 1.0, 0.5]), np.array([1.0, 0.0, 0.5]))
    assert hazard - bias == pytest.approx([0.4, 0.1, 0.25])
    zero, one = np.zeros(3), np.ones(3)
    assert (return_hazard(Retention(0.0, 60), 3, rows, zero, zero) == 0.001).all()
    assert (return_hazard(Retention(1.0, 60), 3, rows, one, one) == 0.999).all()


def test_higher_rewards_never_delay_a_return():
    poor, rich = away(Retention(0.05, 60), 0.1, 0.1), away(Retention(0.05, 60), 0.6, 0.7)
    back = poor > 0
    assert (rich[back] > 0).all()
    assert (rich[back] <= poor[back]).all()
    assert (rich == 0).mean() < 0.1 * (poor == 0).mean()


def test_draws_are_keyed_by_calendar_day():
    params = Retention(0.0, 60)
    monday, tuesday = away(params, 0.5, 0.5, day=10), away(params, 0.5, 0.5, day=11)
    waited = monday > 1
    assert (tuesday[waited] == monday[waited] - 1).all()
    seeds = np.arange(USERS, dtype=np.uint64)
    mixed = away(params, 0.5, 0.5, seed=seeds)
    assert mixed[7] == away(params, 0.5, 0.5, seed=7, users=8)[7]
