"""Optimal slates against enumeration of all ordered slates."""

from dataclasses import replace
from itertools import permutations
from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.reference.optimal_slate import allowed, appraise, best_slate, expected_reward
from tasteshift.envs.simulator.choice import (
    ENJOYMENT_BIAS,
    ENJOYMENT_NOISE,
    QUALITY_WEIGHT,
    REPEAT_COST,
    position,
)
from tasteshift.envs.simulator.population import initial_population
from tasteshift.envs.simulator.world import build_world
from tasteshift.records import NOTHING


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


def test_the_best_slate_can_be_shorter_than_the_limit():
    slate, value = best_slate(np.array([3.0, 3.0]), np.array([1.0, 0.01]), 0.0, 2)
    assert slate.tolist() == [0]
    assert value == pytest.approx(np.exp(3) / (1 + np.exp(3)))


def test_ties_go_to_the_lowest_index_and_no_items_give_an_empty_slate():
    slate, _ = best_slate(np.zeros(9), np.full(9, 0.5), 9.0, 3)
    assert slate.tolist() == [0, 1, 2]
    for utility in (np.full(4, -np.inf), np.zeros(0)):
        slate, value = best_slate(utility, np.ones(len(utility)), 0.0, 3)
        assert slate.tolist() == []
        assert value == 0.0


SCENARIOS = [
    "stationary",
    "gradual-drift",
    "satiation",
    "influence",
    "constraint-change",
    "cold-item",
    "minor-profile",
    "recsim-interest-evolution",
    "recsim-long-term-satisfaction",
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_best_slate_in_every_turn_is_the_best_of_all_slates(scenario):
    """All subsets of the safe items in all orders, the empty slate included, for three sessions."""
    env = Lifelong("synthetic:7", scenario, slate_size=3, sessions=3, turns=2)
    user = int(env.world.eligible_users()[0])
    env.reset(seed=5, options={"user": user})
    over, turn = False, 0
    while not over:
        safe = np.flatnonzero(env.ground_truth.allowed()).tolist()
        every = [slate for count in range(4) for slate in permutations(safe, count)]
        values = {slate: env.ground_truth.expected(slate) for slate in every}
        slate, value = env.ground_truth.best()
        assert set(slate) <= set(safe)
        assert value == pytest.approx(max(values.values()), rel=1e-12)
        assert values[slate] == pytest.approx(value, rel=1e-12)
        turn += 1
        shown = np.full(3, NOTHING)
        other = list(slate) if turn % 2 else safe[:2]
        shown[: len(other)] = other
        over = env.step({"slate": shown})[3]
    assert turn == 6


def test_appraisal_by_hand():
    """The documented formula with library functions, in a state with a history."""
    world = build_world("synthetic:7", "satiation", 3)
    now = initial_population(world, 2, np.array([4]))
    topics = len(world.catalog.topics)
    now = replace(now, topic_utility=np.arange(topics)[None] / -8.0, recent=now.recent.copy())
    now.recent[0, 3] = 5
    utility, reward = appraise(world, now)
    hidden = world.hidden
    direction = now.interests[0] * 2.0**-20
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    for item in range(7):
        mass = [
            w * exp(world.beta * float(u @ hidden.z[item]))
            for w, u in zip(now.weights[0], direction, strict=True)
        ]
        has = np.flatnonzero(world.catalog.topic[item])
        state = float(np.mean(now.topic_utility[0, has])) if len(has) else 0.0
        liking = log(sum(mass)) + state - REPEAT_COST * (item == 5)
        assert utility[item] == pytest.approx(liking + hidden.appeal[item], abs=1e-9)
        level = liking + QUALITY_WEIGHT * hidden.quality[item] - ENJOYMENT_BIAS
        mean = sum(
            w / (1 + exp(-level - ENJOYMENT_NOISE * x)) for x, w in zip(nodes, weights, strict=True)
        )
        assert reward[item] == pytest.approx(mean / weights.sum(), rel=1e-9)


def test_allowed_items():
    world = build_world("synthetic:60", "constraint-change", 3)
    child = int(world.hidden.ages.argmin())
    now = initial_population(world, 2, np.array([child]))
    fit = allowed(world, now)
    assert (fit == (world.hidden.maturity <= world.hidden.ages[child])).all()
    later = allowed(world, replace(now, day=np.array([35])))
    lost = fit & ~later
    assert lost.any()
    assert world.catalog.topic[lost].all(axis=0).any()
    assert not (later & ~fit).any()
