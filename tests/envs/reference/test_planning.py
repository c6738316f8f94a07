"""Plans against dynamic programming, and independence from unpredictable events."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import permutations
from math import exp, log

import numpy as np
import pytest

from tasteshift.envs.dynamics.retention import Retention, return_hazard
from tasteshift.envs.dynamics.satiation import Satiation
from tasteshift.envs.dynamics.trust import update_trust
from tasteshift.envs.reference.expectation import (
    expected_next,
    expected_sessions,
    is_predictable,
    mean_dynamics,
)
from tasteshift.envs.reference.ground_truth import GroundTruth
from tasteshift.envs.reference.planning import SlateCriterion, plan, propose_slates, shortlist
from tasteshift.envs.simulator.choice import (
    ENJOYMENT_BIAS,
    ENJOYMENT_NOISE,
    POSITION_COST,
    QUALITY_WEIGHT,
    REPEAT_COST,
)
from tasteshift.envs.simulator.population import initial_population
from tasteshift.envs.simulator.scenarios import SCENARIOS
from tasteshift.envs.simulator.turn import Response, advance, respond
from tasteshift.envs.simulator.world import build_world

UNIT = 2.0**-20
KEYED = {"recurring", "retention"}
"""Scenarios whose regime and readiness to return depend on the seed and count as known."""


def satiating(catalog, size, sessions, turns, cost=3.0):
    """A world with strong satiation."""
    world = build_world(catalog, "satiation", size, sessions, turns)
    params = Satiation(half_life_days=7, cost=cost)
    return replace(world, scenario=replace(world.scenario, satiation=params))


def every_slate(world, plan_items, utility, reward, satiation):
    items = plan_items.items.tolist()
    return [
        (slate, SlateCriterion())
        for count in range(world.slate_size + 1)
        for slate in permutations(items, count)
    ]


class Recursion:
    """The optimum under satiation, by dynamic programming on (turn, satiation, past choices)."""

    def __init__(self, world, now):
        self.world, hidden = world, world.hidden
        user = int(now.user[0])
        self.items = np.flatnonzero(hidden.maturity <= hidden.ages[user]).tolist()
        directions = now.interests[0] * UNIT
        self.taste_liking = [
            log(
                sum(
                    w * exp(world.beta * float(u @ z))
                    for w, u in zip(hidden.weights[user], directions, strict=True)
                )
            )
            for z in hidden.z
        ]
        self.nodes, weights = np.polynomial.hermite_e.hermegauss(5)
        self.node_weights = weights / weights.sum()
        self.best = lru_cache(maxsize=None)(self.best)

    def item(self, item, satiation, past):
        has = np.flatnonzero(self.world.catalog.topic[item])
        felt = [
            round(-self.world.scenario.satiation.cost * satiation[t] / UNIT) * UNIT for t in has
        ]
        liking = (
            self.taste_liking[item]
            + (sum(felt) / len(felt) if felt else 0.0)
            - REPEAT_COST * (item in past)
        )
        level = liking + QUALITY_WEIGHT * self.world.hidden.quality[item] - ENJOYMENT_BIAS
        enjoyed = sum(
            w / (1 + exp(-level - ENJOYMENT_NOISE * x))
            for x, w in zip(self.nodes, self.node_weights, strict=True)
        )
        return liking + self.world.hidden.appeal[item], enjoyed

    def best(self, turn, satiation, past):
        world = self.world
        if turn == world.turns:
            return 0.0
        appraised = {item: self.item(item, satiation, past) for item in self.items}
        after = {item: self.after(turn, satiation, past, item) for item in [*self.items, None]}
        values = []
        for count in range(world.slate_size + 1):
            for slate in permutations(self.items, count):
                masses = [exp(appraised[j][0] - POSITION_COST * k) for k, j in enumerate(slate)]
                total = exp(world.outside_utility) + sum(masses)
                value = exp(world.outside_utility) / total * after[None]
                for mass, j in zip(masses, slate, strict=True):
                    value += mass / total * (appraised[j][1] + after[j])
                values.append(value)
        return max(values)

    def after(self, turn, satiation, past, item):
        world = self.world
        felt = np.array(satiation)
        if item is not None:
            topic = world.catalog.topic[item]
            share = np.round(topic / max(topic.sum(), 1) / UNIT) * UNIT
            felt, past = felt + share, past | {item}
        if (turn + 1) % world.scenario.turns == 0:
            felt = np.round(felt * 0.5 ** (world.scenario.gap_days / 7) / UNIT) * UNIT
        return self.best(turn + 1, tuple(felt.tolist()), past)


@pytest.mark.parametrize(
    ("catalog", "size", "sessions", "turns"),
    [("synthetic:4", 1, 2, 2), ("synthetic:3", 2, 1, 3), ("synthetic:3", 1, 3, 1)],
)
def test_a_full_depth_plan_equals_dynamic_programming(catalog, size, sessions, turns):
    world = satiating(catalog, size, sessions, turns)
    adults = np.flatnonzero(world.hidden.ages >= 18)
    for user in adults[:2]:
        now = initial_population(world, 1, np.array([user]))
        topics = len(world.catalog.topics)
        exact = Recursion(world, now).best(0, (0.0,) * topics, frozenset())
        _, value = plan(world, now, depth=world.turns, propose=every_slate)
        assert value == pytest.approx(exact, abs=1e-9)


def followed(world, now, choose, turns):
    """Expected reward of a policy over an episode, by following every outcome."""
    if not turns or now.over[0]:
        return 0.0
    slate = choose(now)
    policy_only = plan(world, now, 1, propose=lambda *_: [(slate, SlateCriterion())])[1]
    utility, _ = GroundTruth(world, lambda: now).appraisal()
    mass = [exp(utility[j] - POSITION_COST * k) for k, j in enumerate(slate)] + [
        exp(world.outside_utility)
    ]
    shown = np.full((1, world.slate_size), -1)
    shown[0, : len(slate)] = slate
    total = policy_only
    for item, m in zip((*slate, -1), mass, strict=True):
        later = advance(world, now, shown, Response(np.array([item]), np.zeros(1)))
        total += m / sum(mass) * followed(world, later, choose, turns - 1)
    return total


def test_planning_gains_where_resting_a_topic_gains():
    """Never worse than the myopic optimum in expectation, and better for some user."""
    world = satiating("synthetic:6", 1, 1, 4, cost=6.0)
    adults = np.flatnonzero(world.hidden.ages >= 18)[:12]
    gains = []
    for user in adults:
        now = initial_population(world, 1, np.array([user]))

        def myopic(state):
            return GroundTruth(world, lambda: state).best()[0]

        def planned(state):
            left = world.turns - int(state.turn[0])
            return plan(world, state, left, propose=every_slate)[0]

        gains.append(followed(world, now, planned, 4) - followed(world, now, myopic, 4))
    assert min(gains) >= -1e-9
    assert max(gains) > 1e-3


def test_one_turn_ahead_is_the_myopic_optimum():
    for scenario in ("stationary", "satiation", "influence"):
        world = build_world("synthetic:60", scenario, 4)
        for user in range(6):
            now = initial_population(world, 3, np.array([user]))
            slate, value = plan(world, now, 1)
            best = GroundTruth(world, lambda now=now: now).best()
            assert slate == best[0]
            assert value == pytest.approx(best[1], rel=1e-12)


def test_proposals_are_distinct_and_include_the_myopic_optimum_and_the_empty_slate():
    world = build_world("synthetic:60", "satiation", 4)
    now = initial_population(world, 3, np.array([5]))
    plan_items, truth = shortlist(world, now), GroundTruth(world, lambda: now)
    utility, reward = truth.appraisal()
    slates = [
        slate
        for slate, _ in propose_slates(
            world, plan_items, utility[plan_items.items], reward[plan_items.items], now.satiation[0]
        )
    ]
    assert len(set(slates)) == len(slates)
    assert slates[0] == truth.best()[0]
    assert () in slates
    assert all(truth.allowed()[list(slate)].all() for slate in slates)


@pytest.mark.parametrize("scenario", sorted({*SCENARIOS.names()} - KEYED))
def test_plans_do_not_depend_on_the_seed(scenario):
    """Another seed gives the same state another future, which the plan must not know."""
    world = build_world("synthetic:60", scenario, 3, 3, 2)
    now = initial_population(world, 3, world.eligible_users()[:1])
    plans = {plan(world, replace(now, seed=now.seed + k), 1, 5) for k in range(3)}
    assert len(plans) == 1


def test_drift_is_at_its_mean():
    world = build_world("synthetic:60", "gradual-drift", 3, 2, 1)
    now = initial_population(world, 3, np.arange(4))
    nothing = np.full((4, 3), -1)
    later = expected_next(world, now, nothing, respond(world, now, nothing))
    left = 0.5 ** (world.scenario.gap_days / 30)
    mean = now.anchor + left * (now.taste - now.anchor)
    assert np.abs(later.taste - mean).max() < 16 * UNIT


def test_evolving_interests_are_at_their_mean():
    world = build_world("synthetic:60", "recsim-interest-evolution", 3)
    count = 4000
    same = initial_population(world, 3, np.full(1, 7))
    many = replace(
        initial_population(world, np.arange(count), np.full(count, 7)),
        topic_interest=np.repeat(same.topic_interest, count, axis=0),
    )
    slates = np.full((count, 3), -1)
    slates[:, 0] = 11
    choice = Response(np.full(count, 11), np.zeros(count))
    happened = advance(world, many, slates, choice).topic_interest
    expected = expected_next(
        world, same, slates[:1], Response(np.array([11]), np.zeros(1))
    ).topic_interest[0]
    error = happened.std(axis=0) / np.sqrt(count)
    assert (np.abs(happened.mean(axis=0) - expected) <= 4 * error + UNIT).all()
    assert happened.std() > 0


def test_a_gift_lasts_until_the_session_ends():
    world = build_world("synthetic:60", "transient-intent", 3)
    world = replace(
        world,
        scenario=replace(world.scenario, influence=SCENARIOS.get("influence").influence),
    )
    state = initial_population(world, 3, np.arange(40))
    nothing = np.full((40, 3), -1)
    for _ in range(5):
        state = advance(world, state, nothing, respond(world, state, nothing))
    own = initial_population(world, 3, np.arange(40)).interests
    gift = (state.interests != own).any(axis=(1, 2))
    assert 0 < gift.sum() < 40
    slates = np.tile([1, 2, 3], (40, 1))
    response = Response(np.full(40, 1), np.full(40, 0.5))
    actual, expected = (f(world, state, slates, response) for f in (advance, expected_next))
    assert (actual.interests == expected.interests).all()


def test_expected_sessions_follow_the_geometric_distribution():
    """Against simulation: daily trials until a return, none after churn_days of absence."""
    params = Retention(base=0.1, horizon_days=30, churn_days=5)
    hazards = np.array([0.05, 0.3, 0.9])
    found = expected_sessions(params, hazards, np.full(3, 30))
    rng = np.random.default_rng(0)
    for hazard, expected in zip(hazards, found, strict=True):
        counts = []
        for _ in range(4000):
            day, count = 0, 0
            while (away := int(rng.geometric(hazard))) <= 5 and day + away < 30:
                day, count = day + away, count + 1
            counts.append(count)
        assert np.mean(counts) == pytest.approx(expected, abs=4 * np.std(counts) / 4000**0.5)
    assert expected_sessions(params, np.array([1.0]), np.array([30])) == pytest.approx(29)


def test_mean_dynamics_is_cached():
    world = build_world("synthetic:60", "gradual-drift", 3)
    assert mean_dynamics(world) is mean_dynamics(world)
    assert mean_dynamics(world).scenario.drift.half_life_days == world.scenario.drift.half_life_days


def test_a_session_end_has_the_value_of_the_expected_sessions():
    world = build_world("synthetic:60", "retention", 3)
    now = initial_population(world, 3, np.array([5]))
    now = replace(now, turn=np.array([4]), session_reward=np.array([1.5]), patience=np.array([2.0]))
    slate, value = plan(world, now, 1, 8, propose=lambda *_: [((), SlateCriterion())])
    assert slate == ()
    mean = np.array([1.5 / 5])
    trust = update_trust(world.scenario.trust, now.trust, mean, np.array([0]))
    retention = world.scenario.retention
    hazard = return_hazard(retention, 3, now.user, mean, trust)
    sessions = expected_sessions(retention, hazard, np.array([retention.horizon_days]))[0]
    usual = GroundTruth(world, lambda: now).best()[1]
    assert value == pytest.approx(sessions * world.scenario.turns * usual, rel=1e-12)
    last = replace(now, session=np.array([world.scenario.sessions - 1]))
    assert plan(world, last, 1, 8, propose=lambda *_: [((), SlateCriterion())])[1] == 0.0


def test_plans_end_with_the_episode_and_where_users_may_stay_away():
    nothing = np.full((1, 3), -1)
    refused = Response(np.array([-1]), np.zeros(1))
    for scenario, follows in (("stationary", True), ("retention", False)):
        world = build_world("synthetic:60", scenario, 3)
        now = replace(initial_population(world, 3, np.array([5])), turn=np.array([4]))
        assert is_predictable(world, now, expected_next(world, now, nothing, refused))[0] == follows
        last = replace(now, session=np.array([world.scenario.sessions - 1]))
        assert not is_predictable(world, last, expected_next(world, last, nothing, refused))[0]
        early = replace(now, turn=np.array([0]))
        assert is_predictable(world, early, expected_next(world, early, nothing, refused))[0]


def test_shifts_are_not_anticipated():
    world = build_world("synthetic:60", "abrupt-shift", 3)
    users, nothing = np.arange(20), np.full((20, 3), -1)
    now = initial_population(world, 3, users)
    now = replace(now, day=np.full(20, 34), session=np.full(20, 5), turn=np.full(20, 4))
    refused = Response(np.full(20, -1), np.zeros(20))
    turned = (advance(world, now, nothing, refused).anchor != now.anchor).any(axis=(1, 2))
    assert 0 < turned.sum() < 20
    assert (expected_next(world, now, nothing, refused).anchor == now.anchor).all()
