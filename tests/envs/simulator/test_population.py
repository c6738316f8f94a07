"""Population: independence of batching, state transitions, common random numbers."""

from dataclasses import fields, replace

import numpy as np
import pytest

from tasteshift.envs.dynamics.transient import Transient, transient_plan
from tasteshift.envs.reference.counterfactual import edit_item
from tasteshift.envs.simulator.population import initial_population, take_rows
from tasteshift.envs.simulator.scenarios import SCENARIOS
from tasteshift.envs.simulator.training_log import simulate_training_log
from tasteshift.envs.simulator.turn import Response, advance, respond
from tasteshift.envs.simulator.world import build_world

CATALOG = "synthetic:60"


def trajectories(world, seed, users, slates):
    """State, choices and rewards of every turn, as bytes for each user."""
    now, seen = initial_population(world, seed, users), [b""] * len(users)
    for slate in slates:
        response = respond(world, now, slate)
        now = advance(world, now, slate, response)
        for row in range(len(users)):
            one = take_rows(now, np.array([row]))
            parts = [getattr(one, field.name).tobytes() for field in fields(one)]
            seen[row] += b"".join([*parts, response.chosen[row], response.reward[row]])
    return seen


@pytest.mark.parametrize("scenario", SCENARIOS.names())
def test_a_batch_is_bit_exact_with_its_users_simulated_singly(scenario):
    world = build_world(CATALOG, scenario, 4, turns=2)
    users = world.eligible_users()[[5, 0, 9, 2, 7]]
    seeds = np.array([11, 2**62 + 1, 11, 3, 4], dtype=np.uint64)
    slates = np.random.default_rng(0).integers(-1, 60, size=(world.turns, 5, 4))
    batched = trajectories(world, seeds, users, slates)
    for row, user in enumerate(users):
        single = trajectories(world, int(seeds[row]), np.array([user]), slates[:, row : row + 1])
        assert batched[row] == single[0]
    order = np.array([3, 1, 4, 0, 2])
    shuffled = trajectories(world, seeds[order], users[order], slates[:, order])
    assert shuffled == [batched[k] for k in order]


def test_recent_choices_cost_utility_and_empty_slots_are_never_chosen():
    world = build_world(CATALOG, "stationary", 2)
    now = initial_population(world, 3, np.arange(500))
    slate = np.tile([7, -1], (500, 1))
    fresh = respond(world, now, slate)
    assert set(fresh.chosen) <= {7, -1}
    assert (fresh.reward[fresh.chosen == -1] == 0).all()
    consumed = replace(fresh, chosen=np.full(500, 7))
    repeated = respond(world, advance(world, now, slate, consumed), slate)
    assert (repeated.chosen == 7).mean() < 0.5 * (fresh.chosen == 7).mean()


def test_days_pass_between_sessions_only():
    world = build_world(CATALOG, "stationary", 2, sessions=3, turns=2)
    now, days, slate = initial_population(world, 0, np.array([1])), [], np.array([[1, 2]])
    for _ in range(world.turns):
        days.append((int(now.session[0]), int(now.turn[0]), int(now.day[0])))
        now = advance(world, now, slate, respond(world, now, slate))
    assert days == [(0, 0, 0), (0, 1, 0), (1, 0, 7), (1, 1, 7), (2, 0, 14), (2, 1, 14)]
    assert (int(now.session[0]), int(now.turn[0]), bool(now.over[0])) == (2, 2, True)
    after = advance(world, now, slate, respond(world, now, slate))
    assert all((getattr(after, f.name) == getattr(now, f.name)).all() for f in fields(now))


def test_the_abrupt_shift_rotates_every_interest_by_its_angle():
    world = build_world(CATALOG, "abrupt-shift", 2, turns=1)
    now, empty = initial_population(world, 4, np.arange(50)), np.full((50, 2), -1)
    before = now.anchor
    for _ in range(world.turns):
        now = advance(world, now, empty, respond(world, now, empty))
    cosine = (now.anchor * before).sum(axis=2)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))) == pytest.approx(
        np.full((50, 3), 90.0), abs=1e-3
    )
    assert (now.taste == now.anchor).all()


def test_sessions_for_others_do_not_change_the_taste():
    both = replace(
        SCENARIOS.get("influence"), drift=None, transient=Transient(0.5), sessions=6, turns=3
    )
    world = replace(build_world(CATALOG, "influence", 4), scenario=both)
    users = np.arange(40)
    now = initial_population(world, 1, users)
    slates = np.random.default_rng(0).integers(0, 60, size=(world.turns, 40, 4))
    moved = np.zeros((2, 2))
    for slate in slates:
        gift = transient_plan(both.transient, now.seed, users, now.session, world.num_users)[0]
        response = respond(world, now, slate)
        later = advance(world, now, slate, response)
        changed = (later.taste != now.taste).any(axis=(1, 2))
        assert not changed[gift].any()
        moved += [[gift.sum(), 0], [(~gift).sum(), changed[~gift].sum()]]
        now = later
    assert moved[0, 0] > 100
    assert moved[1, 1] > 0.9 * moved[1, 0]


def test_finished_users_do_not_change():
    world = build_world(CATALOG, "retention", 2)
    now = initial_population(world, 2, np.arange(200))
    bad = np.full((200, 2), -1)
    for _ in range(world.turns):
        finished = now.over.copy()
        later = advance(world, now, bad, respond(world, now, bad))
        assert (later.over >= finished).all()
        assert (later.day[finished] == now.day[finished]).all()
        now = later
    assert now.over.all()
    assert now.churned.mean() > 0.5  # nothing was ever shown to them
    assert (now.day < 42).all()


def test_only_absence_within_the_horizon_is_churn():
    world = build_world(CATALOG, "retention", 2)
    now, empty = initial_population(world, 2, np.arange(400)), np.full((400, 2), -1)
    while not now.over.all():
        now = advance(world, now, empty, respond(world, now, empty))
    horizon, churn = world.scenario.retention.horizon_days, world.scenario.retention.churn_days
    assert (now.day[now.churned] + churn < horizon).all()
    late = now.day + churn >= horizon
    assert late.sum() > 20
    assert not now.churned[late].any()


@pytest.mark.parametrize("item", [0, 7])
def test_items_never_shown_do_not_matter(item):
    world, users = build_world(CATALOG, "influence", 3, turns=3), np.arange(40)
    other = edit_item(world, item, z=-world.hidden.z[item], appeal=1.0)
    slates = np.random.default_rng(1).integers(8, 60, size=(world.turns, 40, 3))
    assert trajectories(world, 5, users, slates) == trajectories(other, 5, users, slates)


def test_exposure_moves_the_interest_closest_to_the_first_item_shown():
    world = build_world(CATALOG, "influence", 2)
    now = initial_population(world, 3, np.arange(60))
    slates = np.tile([-1, 9], (60, 1))
    refused = Response(np.full(60, -1), np.zeros(60))
    later = advance(world, now, slates, refused)
    scores = world.beta * np.einsum("bmd,d->bm", now.interests * 2.0**-20, world.hidden.z[9])
    strongest = (now.weights * np.exp(scores)).argmax(axis=1)
    moved = (later.taste != now.taste).any(axis=2)
    assert moved.sum() == 60
    assert moved[np.arange(60), strongest].all()


def test_the_training_log_shares_no_draw_with_episodes():
    world = build_world(CATALOG, "stationary", 10, turns=5)
    log = simulate_training_log(world)
    rated = {(int(u), int(i)): r for u, i, r in zip(log.user, log.item, log.rating, strict=True)}
    equal = met = 0
    users = np.arange(60)
    now = initial_population(world, 1, users)
    for turn in range(5):
        slates = np.array([(np.arange(10) * 7 + u + turn) % 60 for u in users])
        response = respond(world, now, slates)
        for user, item, reward in zip(users, response.chosen, response.reward, strict=True):
            if (int(user), int(item)) in rated:
                met += 1
                equal += rated[int(user), int(item)] == reward
        now = advance(world, now, slates, response)
    assert met > 20
    assert equal == 0
