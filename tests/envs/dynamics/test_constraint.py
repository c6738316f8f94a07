"""Constraint: distribution of the day and of the ruled-out topic."""

import numpy as np
import pytest
from scipy import stats

from tasteshift.envs.dynamics.constraint import Constraint, constraint_plan

USERS, T = 9000, 8


def test_the_topic_is_uniform_over_the_three_best_liked():
    liking = np.random.default_rng(0).normal(size=(USERS, T))
    _, topic = constraint_plan(Constraint(8, 28), 0, np.arange(USERS), liking)
    above = (liking > liking[np.arange(USERS), topic][:, None]).sum(axis=1)
    assert above.max() == 2
    assert stats.chisquare(np.bincount(above)).pvalue > 1e-3


def test_days_are_uniform_and_independent_of_the_topic():
    liking = np.tile(np.arange(T, 0.0, -1), (USERS, 1))
    day, topic = constraint_plan(Constraint(8, 14), 5, np.arange(USERS), liking)
    table = np.zeros((7, 3))
    np.add.at(table, (day - 8, topic), 1)
    assert stats.chisquare(table.sum(axis=1)).pvalue > 1e-3
    assert stats.chi2_contingency(table).pvalue > 1e-3


@pytest.mark.parametrize(
    ("liking", "possible"),
    [([1.0] * 100, {0, 1, 2}), ([0.0, 2, 1, 2, 1], {1, 3, 2}), ([0.0, 1.0], {0, 1})],
)
def test_ties_go_to_the_lowest_index_and_few_topics_suffice(liking, possible):
    _, topic = constraint_plan(Constraint(1, 1), 0, np.arange(200), np.tile(liking, (200, 1)))
    assert set(topic) == possible


def test_ties_are_broken_by_index():
    liking = np.random.default_rng(2).integers(0, 4, size=(500, 60)).astype(float)
    _, topic = constraint_plan(Constraint(1, 1), 0, np.arange(500), liking)
    for row, ruled_out in zip(liking, topic, strict=True):
        assert ruled_out in sorted(range(60), key=lambda t: (-row[t], t))[:3]


def test_plans_depend_on_seed_and_user_alone():
    liking = np.random.default_rng(1).normal(size=(4, T))
    seeds = np.array([3, 1, 4, 1], dtype=np.uint64)
    day, topic = constraint_plan(Constraint(1, 500), seeds, np.arange(4), liking)
    for k in range(4):
        rows = slice(k, k + 1)
        one = constraint_plan(Constraint(1, 500), int(seeds[k]), np.arange(4)[rows], liking[rows])
        assert (day[k], topic[k]) == (one[0][0], one[1][0])
