"""Widths and neighbours leave no mark on a life; one action disturbs no other draw."""

from dataclasses import fields, replace

import numpy as np
import pytest

from tasteshift.envs.dynamics.transient import Transient, transient_plan
from tasteshift.envs.population import begin, rows
from tasteshift.envs.scenarios import SCENARIOS
from tasteshift.envs.turn import advance, respond
from tasteshift.envs.world import build_world

CATALOG = "synthetic:60"


def lives(world, seed, users, slates):
    """The whole state, choices and rewards of every turn, as bytes user by user."""
    now, seen = begin(world, seed, users), [b""] * len(users)
    for slate in slates:
        response = respond(world, now, slate)
        now = advance(world, now, slate, response)
        for row in range(len(users)):
            one = rows(now, np.array([row]))
            parts = [getattr(one, field.name).tobytes() for field in fields(one)]
            seen[row] += b"".join([*parts, response.chosen[row], response.reward[row]])
    return seen


@pytest.mark.parametrize("scenario", SCENARIOS.names())
def test_a_batch_lives_bit_for_bit_the_lives_of_its_users_alone(scenario):
    world = build_world(CATALOG, scenario, 4, turns=2)
    users = world.eligible_users()[[5, 0, 9, 2, 7]]
    seeds = np.array([11, 2**62 + 1, 11, 3, 4], dtype=np.uint64)
    slates = np.random.default_rng(0).integers(-1, 60, size=(world.turns, 5, 4))
    together = lives(world, seeds, users, slates)
    for row, user in enumerate(users):
        alone = lives(world, int(seeds[row]), np.array([user]), slates[:, row : row + 1])
        assert together[row] == alone[0]
    order = np.array([3, 1, 4, 0, 2])
    shuffled = lives(world, seeds[order], users[order], slates[:, order])
    assert shuffled == [together[k] for k in order]


def test_recent_choices_cost_utility_and_empty_slots_are_never_chosen():
    world = build_world(CATALOG, "stationary", 2)
    now = begin(world, 3, np.arange(500))
    slate = np.tile([7, -1], (500, 1))
    fresh = respond(world, now, slate)
    assert set(fresh.chosen) <= {7, -1}
    assert (fresh.reward[fresh.chosen == -1] == 0).all()
    had = replace(fresh, chosen=np.full(500, 7))
    bored = respond(world, advance(world, now, slate, had), slate)
    assert (bored.chosen == 7).mean() < 0.5 * (fresh.chosen == 7).mean()


def test_the_calendar_moves_between_sessions_only():
    world = build_world(CATALOG, "stationary", 2, sessions=3, turns=2)
    now, days, slate = begin(world, 0, np.array([1])), [], np.array([[1, 2]])
    for _ in range(world.turns):
        days.append((int(now.session[0]), int(now.turn[0]), int(now.day[0])))
        now = advance(world, now, slate, respond(world, now, slate))
    assert days == [(0, 0, 0), (0, 1, 0), (1, 0, 7), (1, 1, 7), (2, 0, 14), (2, 1, 14)]
    assert (int(now.session[0]), int(now.turn[0]), bool(now.over[0])) == (2, 2, True)
    after = advance(world, now, slate, respond(world, now, slate))
    assert all((getattr(after, f.name) == getattr(now, f.name)).all() for f in fields(now))


def test_the_abrupt_shift_turns_every_interest_by_its_angle_on_one_day():
    world = build_world(CATALOG, "abrupt-shift", 2, turns=1)
    now, empty = begin(world, 4, np.arange(50)), np.full((50, 2), -1)
    before = now.anchor
    for _ in range(world.turns):
        now = advance(world, now, empty, respond(world, now, empty))
    cosine = (now.anchor * before).sum(axis=2)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))) == pytest.approx(
        np.full((50, 3), 90.0), abs=1e-3
    )
    assert (now.taste == now.anchor).all()


def test_a_gift_never_enters_the_profile():
    both = replace(
        SCENARIOS.get("influence"), drift=None, transient=Transient(0.5), sessions=6, turns=3
    )
    world = replace(build_world(CATALOG, "influence", 4), scenario=both)
    users = np.arange(40)
    now = begin(world, 1, users)
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


def test_users_who_leave_stay_away():
    world = build_world(CATALOG, "retention", 2)
    now = begin(world, 2, np.arange(200))
    bad = np.full((200, 2), -1)
    for _ in range(world.turns):
        gone = now.over.copy()
        later = advance(world, now, bad, respond(world, now, bad))
        assert (later.over >= gone).all()
        assert (later.day[gone] == now.day[gone]).all()
        now = later
    assert now.over.all()
    assert now.churned.mean() > 0.5  # nothing was ever shown to them
    assert (now.day < 42).all()
