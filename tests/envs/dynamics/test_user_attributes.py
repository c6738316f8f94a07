"""Ages and private facts."""

import numpy as np
import pytest
from scipy import stats

from tasteshift.envs.dynamics.user_attributes import PRIVATE_FACTS, age_group, private_fact


@pytest.mark.parametrize(
    ("age", "group"),
    [(0, "child"), (12, "child"), (13, "teen"), (17, "teen"), (18, "adult"), (90, "adult")],
)
def test_age_groups_change_at_13_and_18(age, group):
    assert age_group(age) == group


def test_private_facts_are_distinct_and_uniform():
    assert len(set(PRIVATE_FACTS)) == len(PRIVATE_FACTS) >= 16
    users = np.arange(9000)
    fact = private_fact(0, users)
    assert stats.chisquare(np.bincount(fact, minlength=len(PRIVATE_FACTS))).pvalue > 1e-3
    assert (private_fact(np.zeros(3, np.uint64), users[4:7]) == fact[4:7]).all()
    same = (private_fact(1, users) == fact).mean()
    chance = 1 / len(PRIVATE_FACTS)
    assert same == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / len(users)))
