"""Abrupt shift: angle and plane of the rotation, distribution of days and targets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasteshift.envs.dynamics.shift import Shift, rotate_anchors, shift_plan
from tasteshift.envs.numerics.grid import GRID

M, D = 3, 24


def unit(rows: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(rows, M, D))
    return np.round(x / np.linalg.norm(x, axis=-1, keepdims=True) / GRID) * GRID


def angle(x, y):
    x, y = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (x, y))
    apart, along = np.linalg.norm(x - y, axis=-1), np.linalg.norm(x + y, axis=-1)
    return np.degrees(2 * np.arctan2(apart, along))


@settings(deadline=None, max_examples=50)
@given(degrees=st.floats(0, 180), seed=st.integers(0, 1000))
def test_anchors_rotate_by_the_angle_in_the_plane_and_stay_unit(degrees, seed):
    a, b = unit(4, seed), unit(4, seed + 1)
    rotated = rotate_anchors(a, b, degrees)
    assert np.abs(np.linalg.norm(rotated, axis=-1) - 1).max() < 2.0**-18
    assert (rotated / GRID == np.rint(rotated / GRID)).all()
    assert np.abs(angle(a, rotated) - degrees).max() < 5e-4
    across = b - (a * b).sum(-1, keepdims=True) * a
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    expected = np.cos(np.radians(degrees)) * a + np.sin(np.radians(degrees)) * across
    assert np.abs(rotated - expected).max() < 4 * GRID


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(0, (1, 0, 0)), (30, (0.75**0.5, 0.5, 0)), (90, (0, 1, 0)), (180, (-1, 0, 0))],
)
def test_rotations_computed_by_hand(degrees, expected):
    a = np.array([[[1.0, 0.0, 0.0]]])
    for b in ([0.0, 1.0, 0.0], [1.0, 2.0**-10, 0.0], [-1.0, 0.5, 0.0]):
        assert np.abs(rotate_anchors(a, np.array([[b]]), degrees) - expected).max() <= GRID


def test_the_angle_holds_for_parallel_and_zero_targets():
    a = unit(10, 0)
    for b in (a, -a, np.zeros_like(a)):
        assert np.abs(angle(a, rotate_anchors(a, b, 60)) - 60).max() < 5e-4


def test_rows_are_independent():
    a, b = unit(6, 1), unit(6, 2)
    b[3] = a[3]
    single = np.concatenate([rotate_anchors(a[k : k + 1], b[k : k + 1], 40) for k in range(6)])
    assert (rotate_anchors(a, b, 40) == single).all()


def test_days_are_uniform_and_targets_are_other_users():
    n = 14_000
    shift, users = Shift(60, first_day=22, last_day=35), np.arange(n)
    days, targets = shift_plan(shift, 0, users, n)
    assert set(days) == set(range(22, 36))
    assert stats.chisquare(np.bincount(days - 22)).pvalue > 1e-3
    assert (targets != users).all()
    steps = np.bincount((targets - users) % n * 10 // n)
    assert stats.chisquare(steps).pvalue > 1e-3
    distinct = n * (1 - np.exp(-1))  # as for independent draws; its variance: n (e⁻¹ − 2 e⁻²)
    deviation = np.sqrt(n * (np.exp(-1) - 2 * np.exp(-2)))
    assert abs(len(set(targets)) - distinct) < 4 * deviation


def test_plans_depend_on_seed_and_user_alone():
    shift, users = Shift(60, 1, 1000), np.arange(5)
    seeds = np.array([0, 1, 2, 2, 9], dtype=np.uint64)
    mixed = shift_plan(shift, seeds, users, 50)
    for k, seed in enumerate(seeds):
        single = shift_plan(shift, int(seed), users[k : k + 1], 50)
        assert (mixed[0][k], mixed[1][k]) == (single[0][0], single[1][0])


def test_with_two_users_each_targets_the_other_and_with_one_itself():
    shift = Shift(60, 3, 3)
    assert shift_plan(shift, 0, np.arange(2), 2)[1].tolist() == [1, 0]
    assert shift_plan(shift, 0, np.arange(1), 1)[1].tolist() == [0]
