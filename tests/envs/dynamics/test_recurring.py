"""Recurring regimes: schedule, angle and bit-exact return."""

from dataclasses import replace

import numpy as np
import pytest

from tasteshift.envs.dynamics.drift import Drift
from tasteshift.envs.dynamics.recurring import Recurring, recurring_target, regime
from tasteshift.envs.numerics.grid import GRID
from tasteshift.envs.simulator.population import initial_population, with_directions
from tasteshift.envs.simulator.scenarios import Scenario
from tasteshift.envs.simulator.world import build_world


@pytest.mark.parametrize(
    ("period", "regimes", "parts"), [(28, 2, [14, 14]), (7, 2, [4, 3]), (365, 4, [92, 91, 91, 91])]
)
def test_regimes_alternate_in_equal_parts_of_the_cycle(period, regimes, parts):
    cycle = regime(Recurring(period, regimes, 90), np.arange(3 * period))
    expected = np.repeat(np.arange(regimes), parts)
    assert cycle.tolist() == np.tile(expected, 3).tolist()


def drifted_users(recurring, users=30):
    """Users whose tastes have drifted away from their anchors, on day 0 of recurring regimes."""
    drift = Drift(half_life_days=30, dispersion=1.2)
    world = build_world("synthetic:60", Scenario("r", "", recurring=recurring, drift=drift), 3)
    return world, initial_population(world, np.arange(users), np.arange(users))


def directions(world, now, day):
    """Interest directions of the users on a day (or on a day each), as unit vectors."""
    later = replace(now, day=np.broadcast_to(day, len(now)).copy())
    units = with_directions(world, later).interests * GRID
    assert np.abs(np.linalg.norm(units, axis=-1) - 1).max() < 1e-5
    return units


@pytest.mark.parametrize("r", range(4))
def test_regimes_rotate_interests_by_their_share_of_the_angle(r):
    world, now = drifted_users(Recurring(28, 4, 90))
    home, there = directions(world, now, 0), directions(world, now, 7 * r)
    taste = now.taste / np.linalg.norm(now.taste, axis=-1, keepdims=True)
    assert np.abs(home - taste).max() < 2 * GRID
    assert np.abs((there * taste).sum(-1) - np.cos(np.radians(90 * r / 3))).max() < 1e-5
    target = world.hidden.anchors[now.regime_target]
    across = target - (target * taste).sum(-1, keepdims=True) * taste
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    assert np.abs((there * across).sum(-1) - np.sin(np.radians(90 * r / 3))).max() < 1e-5


def test_regimes_return_bit_exactly():
    world, now = drifted_users(Recurring(28, 2, 90))
    home, away = directions(world, now, 0), directions(world, now, 20)
    assert (away == directions(world, now, 20 + 10 * 28)).all()
    assert (home == directions(world, now, 28)).all()
    assert (away != home).any(axis=-1).all()


def test_users_in_different_regimes_are_independent():
    world, now = drifted_users(Recurring(30, 3, 100))
    mixed = directions(world, now, np.arange(len(now)) % 3 * 10)
    for r in range(3):
        assert (mixed[r::3] == directions(world, now, 10 * r)[r::3]).all()


def test_targets_are_other_users_and_constant_in_an_episode():
    users = np.arange(500)
    target = recurring_target(7, users, 500)
    assert (target != users).all()
    assert ((target >= 0) & (target < 500)).all()
    assert (target == recurring_target(np.full(500, 7, np.uint64), users, 500)).all()
    assert (target != recurring_target(8, users, 500)).mean() > 0.98
