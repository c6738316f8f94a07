"""Transient intent: a Bernoulli process without the first session."""

import numpy as np
import pytest
from scipy import stats

from tasteshift.envs.dynamics.transient import Transient, transient_plan

USERS, SESSIONS = 2000, 11


def plan(probability: float, seed=0):
    user = np.repeat(np.arange(USERS), SESSIONS)
    session = np.tile(np.arange(SESSIONS), USERS)
    active, other = transient_plan(Transient(probability), seed, user, session, USERS)
    return active.reshape(USERS, SESSIONS), other.reshape(USERS, SESSIONS)


@pytest.mark.parametrize("probability", [0.1, 0.4])
def test_every_session_but_the_first_is_transient_with_the_stated_probability(probability):
    active, _ = plan(probability)
    assert not active[:, 0].any()
    rest = active[:, 1:]
    standard_error = np.sqrt(probability * (1 - probability) / rest.size)
    assert rest.mean() == pytest.approx(probability, abs=4 * standard_error)
    counts = np.bincount(rest.sum(axis=1), minlength=SESSIONS)
    expected = USERS * stats.binom(SESSIONS - 1, probability).pmf(np.arange(SESSIONS))
    small = expected < 5
    lumped = [np.append(n[~small], n[small].sum()) for n in (counts, expected)]
    assert stats.chisquare(*lumped).pvalue > 1e-3


def test_probabilities_0_and_1():
    assert not plan(0.0)[0].any()
    assert plan(1.0)[0][:, 1:].all()


def test_the_other_user_is_uniform_over_all_others():
    _, other = plan(0.4)
    distance = (other - np.arange(USERS)[:, None]) % USERS
    assert distance.min() >= 1
    assert stats.chisquare(np.bincount(distance.ravel() * 20 // USERS)).pvalue > 1e-3


def test_plans_depend_on_seed_user_and_session_alone():
    active, other = plan(0.4)
    some = np.array([5, 17])
    again = transient_plan(Transient(0.4), np.zeros(2, np.uint64), some, np.array([3, 9]), USERS)
    assert again[0].tolist() == [active[5, 3], active[17, 9]]
    assert again[1].tolist() == [other[5, 3], other[17, 9]]
    assert (plan(0.4, seed=1)[1] != other).mean() > 0.99
