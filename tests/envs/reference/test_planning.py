"""Plans against dynamic programming, and against what they must not know."""

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
from tasteshift.envs.reference.expectation import expected_sessions, foresee, foreseeable, goes_on
from tasteshift.envs.reference.ground_truth import GroundTruth
from tasteshift.envs.reference.planning import Manner, look, plan, proposals
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
"""A life's other regime, and its readiness to return, are keyed by the seed and yet no luck."""


def satiating(catalog, size, sessions, turns, cost=3.0):
    """A world in which what was consumed is soon worth little."""
    world = build_world(catalog, "satiation", size, sessions, turns)
    params = Satiation(half_life_days=7, cost=cost)
    return replace(world, scenario=replace(world.scenario, satiation=params))


def every_slate(world, view, utility, reward, satiation):
    items = view.items.tolist()
    return [
        (slate, Manner())
        for count in range(world.slate_size + 1)
        for slate in permutations(items, count)
    ]


class Recursion:
    """The optimum of a satiating life by dynamic programming on (turn, satiation, past choices)."""

    def __init__(self, world, now):
        self.world, hidden = world, world.hidden
        user = int(now.user[0])
        self.items = np.flatnonzero(hidden.maturity <= hidden.ages[user]).tolist()
        directions = now.interests[0] * UNIT
        self.love = [
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
            self.love[item]
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
def test_a_whole_life_is_planned_as_by_dynamic_programming(catalog, size, sessions, turns):
    world = satiating(catalog, size, sessions, turns)
    adults = np.flatnonzero(world.hidden.ages >= 18)
    for user in adults[:2]:
        now = initial_population(world, 1, np.array([user]))
        topics = len(world.catalog.topics)
        exact = Recursion(world, now).best(0, (0.0,) * topics, frozenset())
        _, value = plan(world, now, depth=world.turns, propose=every_slate)
        assert value == pytest.approx(exact, abs=1e-9)


def followed(world, now, choose, turns):
    """Expected reward of a policy over a life, by following every outcome."""
    if not turns or now.over[0]:
        return 0.0
    slate = choose(now)
    policy_only = plan(world, now, 1, propose=lambda *_: [(slate, Manner())])[1]
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


def test_planning_pays_where_resting_a_topic_pays():
    """Never worse than the myopic optimum in expectation, and somewhere better."""
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


def test_proposals_are_distinct_and_hold_the_myopic_optimum_and_nothing():
    world = build_world("synthetic:60", "satiation", 4)
    now = initial_population(world, 3, np.array([5]))
    view, truth = look(world, now), GroundTruth(world, lambda: now)
    utility, reward = truth.appraisal()
    offers = [
        slate
        for slate, _ in proposals(
            world, view, utility[view.items], reward[view.items], now.satiation[0]
        )
    ]
    assert len(set(offers)) == len(offers)
    assert offers[0] == truth.best()[0]
    assert () in offers
    assert all(truth.allowed()[list(slate)].all() for slate in offers)


@pytest.mark.parametrize("scenario", sorted({*SCENARIOS.names()} - KEYED))
def test_plans_are_alike_whatever_luck_is_to_come(scenario):
    """Under another seed the same state has another future; the plan may not depend on it."""
    world = build_world("synthetic:60", scenario, 3, 3, 2)
    now = initial_population(world, 3, world.eligible_users()[:1])
    plans = {plan(world, replace(now, seed=now.seed + k), 1, 5) for k in range(3)}
    assert len(plans) == 1


def test_drift_is_foreseen_at_its_mean():
    world = build_world("synthetic:60", "gradual-drift", 3, 2, 1)
    now = initial_population(world, 3, np.arange(4))
    nothing = np.full((4, 3), -1)
    later = foresee(world, now, nothing, respond(world, now, nothing))
    left = 0.5 ** (world.scenario.gap_days / 30)
    mean = now.anchor + left * (now.taste - now.anchor)
    assert np.abs(later.taste - mean).max() < 16 * UNIT


def test_evolving_interests_are_foreseen_at_their_mean():
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
    expected = foresee(
        world, same, slates[:1], Response(np.array([11]), np.zeros(1))
    ).topic_interest[0]
    error = happened.std(axis=0) / np.sqrt(count)
    assert (np.abs(happened.mean(axis=0) - expected) <= 4 * error + UNIT).all()
    assert happened.std() > 0


def test_a_gift_lasts_as_long_as_its_session_in_a_plan():
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
    real, foreseen = (f(world, state, slates, response) for f in (advance, foresee))
    assert (real.interests == foreseen.interests).all()


def test_expected_sessions_are_those_of_the_geometric_law():
    """Against its simulation: daily luck until a return, for ever after as many absent days."""
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


def test_the_foreseeable_world_is_made_once():
    world = build_world("synthetic:60", "gradual-drift", 3)
    assert foreseeable(world) is foreseeable(world)
    assert foreseeable(world).scenario.drift.half_life_days == world.scenario.drift.half_life_days


def test_a_session_that_ends_is_worth_the_sessions_to_be_expected():
    world = build_world("synthetic:60", "retention", 3)
    now = initial_population(world, 3, np.array([5]))
    now = replace(now, turn=np.array([4]), session_reward=np.array([1.5]), patience=np.array([2.0]))
    slate, value = plan(world, now, 1, 8, propose=lambda *_: [((), Manner())])
    assert slate == ()
    mean = np.array([1.5 / 5])
    trust = update_trust(world.scenario.trust, now.trust, mean, np.array([0]))
    retention = world.scenario.retention
    hazard = return_hazard(retention, 3, now.user, mean, trust)
    sessions = expected_sessions(retention, hazard, np.array([retention.horizon_days]))[0]
    usual = GroundTruth(world, lambda: now).best()[1]
    assert value == pytest.approx(sessions * world.scenario.turns * usual, rel=1e-12)
    last = replace(now, session=np.array([world.scenario.sessions - 1]))
    assert plan(world, last, 1, 8, propose=lambda *_: [((), Manner())])[1] == 0.0


def test_foresight_ends_with_a_life_and_where_users_may_stay_away():
    nothing = np.full((1, 3), -1)
    refused = Response(np.array([-1]), np.zeros(1))
    for scenario, follows in (("stationary", True), ("retention", False)):
        world = build_world("synthetic:60", scenario, 3)
        now = replace(initial_population(world, 3, np.array([5])), turn=np.array([4]))
        assert goes_on(world, now, foresee(world, now, nothing, refused))[0] == follows
        last = replace(now, session=np.array([world.scenario.sessions - 1]))
        assert not goes_on(world, last, foresee(world, last, nothing, refused))[0]
        early = replace(now, turn=np.array([0]))
        assert goes_on(world, early, foresee(world, early, nothing, refused))[0]


def test_shifts_are_not_foreseen():
    world = build_world("synthetic:60", "abrupt-shift", 3)
    users, nothing = np.arange(20), np.full((20, 3), -1)
    now = initial_population(world, 3, users)
    now = replace(now, day=np.full(20, 34), session=np.full(20, 5), turn=np.full(20, 4))
    refused = Response(np.full(20, -1), np.zeros(20))
    turned = (advance(world, now, nothing, refused).anchor != now.anchor).any(axis=(1, 2))
    assert 0 < turned.sum() < 20
    assert (foresee(world, now, nothing, refused).anchor == now.anchor).all()
