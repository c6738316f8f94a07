"""Recurring regimes: the calendar, the angle, and the exact return."""

import numpy as np
import pytest

from tasteshift.envs.dynamics.recurring import Recurring, recurring_target, regime, regime_taste
from tasteshift.envs.grid import GRID

B, M, D = 30, 3, 24


def on_grid(x):
    return np.round(x / GRID) * GRID


def tastes(seed: int, length: float = 1.0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(B, M, D))
    return on_grid(length * x / np.linalg.norm(x, axis=-1, keepdims=True))


@pytest.mark.parametrize(
    ("period", "regimes", "parts"), [(28, 2, [14, 14]), (7, 2, [4, 3]), (365, 4, [92, 91, 91, 91])]
)
def test_a_cycle_falls_into_equal_parts_over_and_over(period, regimes, parts):
    cycle = regime(Recurring(period, regimes, 90), np.arange(3 * period))
    expected = np.repeat(np.arange(regimes), parts)
    assert cycle.tolist() == np.tile(expected, 3).tolist()


@pytest.mark.parametrize("r", range(4))
def test_regimes_turn_every_interest_by_their_share_of_the_angle(r):
    taste, target = tastes(0, length=1.7), tastes(1)
    now = regime_taste(Recurring(28, 4, 90), taste, target, np.full(B, r))
    cosine = (now * taste).sum(-1) / np.linalg.norm(now, axis=-1) / np.linalg.norm(taste, axis=-1)
    assert np.abs(cosine - np.cos(np.radians(90 * r / 3))).max() < 1e-5
    lengths = np.linalg.norm(now, axis=-1) - np.linalg.norm(taste, axis=-1)
    assert np.abs(lengths).max() < 1e-5
    assert (now / GRID == np.rint(now / GRID)).all()
    if r:
        assert ((now - taste) * target).sum(-1).min() > 0


def test_regimes_return_to_the_bit():
    recurring, taste, target = Recurring(28, 2, 90), tastes(2, length=1.7), tastes(3)
    away = regime_taste(recurring, taste, target, regime(recurring, np.full(B, 20)))
    again = regime_taste(recurring, taste, target, regime(recurring, np.full(B, 20 + 10 * 28)))
    home = regime_taste(recurring, taste, target, regime(recurring, np.full(B, 28)))
    assert (away == again).all()
    assert (home == taste).all()
    assert (away != taste).any(axis=-1).all()


def test_users_in_different_regimes_do_not_disturb_each_other():
    recurring, taste, target = Recurring(30, 3, 100), tastes(4), tastes(5)
    mixed = regime_taste(recurring, taste, target, np.arange(B) % 3)
    for r in range(3):
        alike = regime_taste(recurring, taste, target, np.full(B, r))
        assert (mixed[r::3] == alike[r::3]).all()


def test_targets_are_somebody_else_for_a_whole_life():
    users = np.arange(500)
    target = recurring_target(7, users, 500)
    assert (target != users).all()
    assert ((target >= 0) & (target < 500)).all()
    assert (target == recurring_target(np.full(500, 7, np.uint64), users, 500)).all()
    assert (target != recurring_target(8, users, 500)).mean() > 0.98
