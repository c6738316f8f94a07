"""Widths and neighbours leave no mark on a life; one action disturbs no other draw."""

from dataclasses import replace

import numpy as np
import pytest

from tasteshift.envs.population import advance, begin, respond
from tasteshift.envs.scenarios import SCENARIOS
from tasteshift.envs.world import build_world

CATALOG = "synthetic:60"


def lives(world, seed, users, slates):
    """Tastes, choices and rewards of every turn, stacked on the first axis."""
    now, rows = begin(world, seed, users), []
    for slate in slates:
        response = respond(world, now, slate)
        now = advance(world, now, response)
        rows.append(np.column_stack([now.taste, now.day, response.chosen, response.reward]))
    return np.stack(rows)


@pytest.mark.parametrize("scenario", SCENARIOS.names())
def test_a_batch_lives_the_same_lives_as_its_users_alone(scenario):
    world = build_world(CATALOG, scenario, 4, turns=2)
    users = world.eligible_users()[[5, 0, 9]]
    slates = np.random.default_rng(0).integers(0, 60, size=(world.turns, 3, 4))
    together = lives(world, 11, users, slates)
    for row, user in enumerate(users):
        alone = lives(world, 11, np.array([user]), slates[:, row : row + 1])
        np.testing.assert_allclose(together[:, row], alone[:, 0], rtol=0, atol=1e-12)


def test_reordering_a_slate_redraws_nothing():
    world = build_world(CATALOG, "stationary", 4)
    now = begin(world, 3, np.arange(200))
    flat = replace(world, hidden=replace(world.hidden, appeal=np.zeros(60)))
    slate = np.tile([7, 21, 33, 48], (200, 1))
    first = respond(flat, now, slate)
    second = respond(flat, now, slate[:, ::-1])
    same = first.chosen == second.chosen
    assert same.mean() > 0.8  # only the position cost differs
    assert (first.reward[same] == second.reward[same]).all()


def test_recent_choices_cost_utility_and_empty_slots_are_never_chosen():
    world = build_world(CATALOG, "stationary", 2)
    now = begin(world, 3, np.arange(500))
    slate = np.tile([7, -1], (500, 1))
    fresh = respond(world, now, slate)
    assert set(fresh.chosen) <= {7, -1}
    assert (fresh.reward[fresh.chosen == -1] == 0).all()
    bored = respond(world, advance(world, now, replace(fresh, chosen=np.full(500, 7))), slate)
    assert (bored.chosen == 7).mean() < 0.5 * (fresh.chosen == 7).mean()


def test_the_calendar_moves_between_sessions_only():
    world = build_world(CATALOG, "stationary", 2, sessions=3, turns=2)
    now, days = begin(world, 0, np.array([1])), []
    for _ in range(world.turns):
        response = respond(world, now, np.array([[1, 2]]))
        days.append((int(now.session[0]), int(now.turn[0]), int(now.day[0])))
        now = advance(world, now, response)
    assert days == [(0, 0, 0), (0, 1, 0), (1, 0, 7), (1, 1, 7), (2, 0, 14), (2, 1, 14)]
    assert (int(now.session[0]), int(now.turn[0])) == (2, 2)


def test_the_abrupt_shift_turns_the_taste_by_its_angle_on_one_day():
    world = build_world(CATALOG, "abrupt-shift", 2, turns=1)
    now = begin(world, 4, np.arange(50))
    before = now.anchor
    for _ in range(world.turns):
        now = advance(world, now, respond(world, now, np.full((50, 2), -1)))
    cosine = (now.anchor * before).sum(axis=1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))) == pytest.approx(
        np.full(50, 90.0), abs=1e-3
    )
    assert now.taste == pytest.approx(now.anchor)
