"""Diversity against counted pairs, and the worst-group gap against its permutation null."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from tasteshift.metrics import METRICS

SLATES = st.lists(st.lists(st.integers(-1, 3), max_size=6), min_size=1, max_size=12)


def test_diversity_by_hand(steps, traced, value):
    table = steps(
        {"topics": [0, 0, 1]},  # 2 of 3 pairs differ
        {"user": 1, "topics": [2, 2]},  # 0 of 1
        {"user": 1, "turn": 1, "topics": [3, -1, 4]},  # 1 of 1: -1 has no topic
        {"user": 2, "topics": [5]},
        {"policy": "random", "topics": [1, 2]},
    )
    assert value("diversity", traced(table)) == 3 / 5


@settings(max_examples=60, deadline=None)
@given(slates=SLATES)
def test_diversity_agrees_with_counting_pairs(steps, traced, value, slates):
    pairs = [
        one != other
        for slate in slates
        for one, other in combinations([topic for topic in slate if topic >= 0], 2)
    ]
    found = value(
        "diversity", traced(steps(*({"turn": t, "topics": s} for t, s in enumerate(slates))))
    )
    assert found == (pytest.approx(np.mean(pairs)) if pairs else None)


def test_no_diversity_without_a_pair(steps, traced, value):
    assert value("diversity", traced()) is None
    assert value("diversity", traced(steps({"topics": []}))) is None
    assert (
        value("diversity", traced(steps({"topics": [4]}, {"turn": 1, "topics": [-1, -1]}))) is None
    )


@pytest.fixture(scope="session")
def grouped(steps, traced):
    """A trace of users as (group, agent's reward); random earns 0 and the oracle 1."""

    def make(users, policies=("agent", "random", "oracle"), **common):
        rows = [
            {
                **{"user": user, "age_group": group, "policy": policy},
                "reward": {"agent": reward, "random": 0.0, "oracle": 1.0}[policy],
            }
            for user, (group, reward) in enumerate(users)
            for policy in policies
        ]
        return traced(steps(*rows, **common))

    return make


def test_worst_group_gap_agrees_with_the_enumerated_null(grouped):
    users = [("adult", 0.6)] * 20 + [("teen", 0.1)] * 10
    found = METRICS.get("worst_group_gap").estimate(grouped(users))
    raw = (20 * 0.6 + 10 * 0.1) / 30 - 0.1
    # a random group of 10 of 30: the number of poorly served users in it is hypergeometric
    poorly_served = hypergeom(30, 10, 10)
    null = 0.0
    for k in range(11):
        ten = (k * 0.1 + (10 - k) * 0.6) / 10
        twenty = ((10 - k) * 0.1 + (10 + k) * 0.6) / 20
        null += poorly_served.pmf(k) * (13 / 30 - min(ten, twenty))
    assert found.value == pytest.approx(raw - null, abs=0.01)
    assert found.n == 30
    assert 0 < found.low <= found.value <= found.high


def test_the_expected_gap_is_0_where_groups_do_not_matter(grouped):
    rng = np.random.default_rng(3)
    values, covered = [], 0
    for _ in range(40):
        groups = rng.permutation(["adult"] * 20 + ["teen"] * 12 + ["child"] * 8)
        found = METRICS.get("worst_group_gap").estimate(
            grouped(list(zip(groups, rng.random(40), strict=True)))
        )
        values.append(found.value)
        covered += found.low <= 0 <= found.high
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(40)
    assert covered >= 34


def test_equal_users_have_a_gap_of_0(grouped, value):
    users = [("adult", 0.5)] * 9 + [("teen", 0.5)] * 9
    assert value("worst_group_gap", grouped(users)) == pytest.approx(0, abs=1e-15)


def test_small_groups_do_not_count_and_one_group_alone_has_no_gap(grouped, value):
    assert value("worst_group_gap", grouped([("adult", 0.5)] * 9)) is None
    assert value("worst_group_gap", grouped([("adult", 0.5)] * 9 + [("teen", 0.0)] * 4)) is None
    assert value("worst_group_gap", grouped([("adult", 0.5)] * 9 + [("teen", 0.0)] * 5)) > 0


def test_no_gap_without_reference_policies_or_headroom(grouped, steps, traced, value):
    users = [("adult", 0.5)] * 5 + [("teen", 0.1)] * 5
    assert value("worst_group_gap", grouped(users, policies=("agent", "oracle"))) is None
    full = grouped(users)
    flat = full.steps.assign(
        reward=full.steps["reward"].where(full.steps["age_group"] == "adult", 0.0)
    )
    assert value("worst_group_gap", traced(flat)) is None
    assert value("worst_group_gap", traced()) is None


def test_few_users_have_no_interval(grouped):
    found = METRICS.get("worst_group_gap").estimate(
        grouped([("adult", 0.5)] * 9 + [("teen", 0.2)] * 9)
    )
    assert (found.low, found.high, found.n) == (None, None, 18)


@settings(max_examples=15, deadline=None)
@given(
    rewards=st.lists(st.floats(0, 1), min_size=10, max_size=16),
    random=st.randoms(use_true_random=False),
)
def test_order_and_ids_of_users_do_not_matter(grouped, value, rewards, random):
    users = [("adult" if k % 2 else "teen", reward) for k, reward in enumerate(rewards)]
    mixed = random.sample(users, len(users))
    assert value("worst_group_gap", grouped(mixed)) == pytest.approx(
        value("worst_group_gap", grouped(users)), abs=1e-12
    )


@settings(max_examples=15, deadline=None)
@given(losses=st.lists(st.floats(0, 0.5), min_size=2, max_size=2).map(sorted))
def test_serving_one_group_worse_widens_the_gap(grouped, value, losses):
    small, large = (
        value("worst_group_gap", grouped([("adult", 0.5)] * 7 + [("teen", 0.5 - loss)] * 6))
        for loss in losses
    )
    assert small <= large + 1e-12
