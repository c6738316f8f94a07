"""Compiled functions are bit-exact with the NumPy forms that define them."""

import numpy as np
import pytest

from tasteshift.envs.dynamics.drift import Drift, drift_days, drift_noise, drift_one_day
from tasteshift.envs.dynamics.recurring import Recurring, regime_rotations
from tasteshift.envs.dynamics.retention import Retention, days_away, return_hazard
from tasteshift.envs.numerics import elementary, philox
from tasteshift.envs.numerics.grid import GRID, on_grid
from tasteshift.envs.numerics.philox import Purpose
from tasteshift.envs.numerics.vectors import (
    cosine_and_sine,
    direction_units,
    dot,
    normalize,
    rotate,
    rotate_unit,
    rotate_vector,
    unit,
)

B, M, D = 40, 3, 24
RNG = np.random.default_rng(5)


def tastes(length=1.0, d=D):
    x = RNG.normal(size=(B, M, d))
    return on_grid(length * x / np.linalg.norm(x, axis=-1, keepdims=True))


def test_row_functions_match_scalar_functions():
    tiny = 2.0 ** -np.arange(1, 54)
    p = np.concatenate([RNG.random(20_000), tiny, 1 - tiny])
    out, near, tail = np.empty((3, len(p)))
    elementary.normal_quantiles(p, near, tail, out)
    assert np.array_equal(out, elementary.normal_quantile(p))
    logs = p.copy()
    elementary.logs(logs, tail)
    assert np.array_equal(logs, elementary.log(p))
    x = np.concatenate([RNG.normal(size=20_000) * 30, [-1e9, -708.5, -708, 0, 709, 709.5, np.inf]])
    exps = x.copy()
    elementary.exps(exps)
    assert np.array_equal(exps, elementary.exp(x))


@pytest.mark.parametrize("d", [1, 3, 4, 23, 24])
def test_unit_vectors_match_numpy(d):
    x = tastes(1.7, d).reshape(-1, d)
    expected = unit(x)
    units = np.empty(d, dtype=np.int32)
    for row, one in zip(x, expected, strict=True):
        direction_units(row, units)
        assert np.array_equal(units * GRID, one)
        normalize(row)
        assert np.array_equal(row, one)


def test_rotation_matches_numpy_also_for_parallel_targets():
    x, target = unit(tastes()).reshape(-1, D), tastes(0.7).reshape(-1, D)
    target[:9] = x[:9]
    target[9:18] = 0.0
    cosine, sine = cosine_and_sine(60)
    out = np.empty(D)
    for row, one_target, expected in zip(x, target, rotate(x, target, cosine, sine), strict=True):
        rotate_unit(row, one_target, cosine, sine, out)
        assert np.array_equal(out, expected)


def test_regime_rotation_matches_numpy():
    taste, target = tastes(1.4), tastes()
    regime = np.arange(B) % 3
    angles = np.array([cosine_and_sine(angle) for angle in (0, 45, 90)])[regime]
    cosine, sine = angles.T[:, :, None, None]
    turned = on_grid(np.sqrt(dot(taste, taste)) * rotate(unit(taste), target, cosine, sine))
    expected = np.where((regime == 0)[:, None, None], taste, turned)
    found, rotations = taste.copy(), regime_rotations(Recurring(28, 3, 90))
    for row, m in np.argwhere(np.broadcast_to((regime > 0)[:, None], (B, M))):
        rotate_vector(taste[row, m], target[row, m], *rotations[regime[row]], found[row, m])
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("d", [5, 24])
def test_drift_over_many_days_equals_repeated_single_days(d):
    drift, taste, anchor = Drift(30, 1.2), tastes(1.3, d), tastes(1.0, d)
    seed, user = RNG.integers(0, 2**63, B).astype(np.uint64), np.arange(B)
    first = RNG.integers(1, 50, B)
    last = first + RNG.integers(-1, 20, B)
    dates = first[:, None] + np.arange(20)
    noise = drift_noise(seed, user, dates, M, d)
    expected = taste
    for k, day in enumerate(dates.T):
        drifted = drift_one_day(drift, expected, anchor, noise[:, k])
        expected = np.where((day <= last)[:, None, None], drifted, expected)
    assert np.array_equal(drift_days(drift, seed, user, first, last, taste, anchor), expected)


def test_the_return_day_is_the_first_draw_below_the_hazard():
    params = Retention(0.05, 42)
    seed, user, day = np.full(B, 9, np.uint64), np.arange(B), RNG.integers(0, 30, B)
    reward, trust = RNG.random(B), on_grid(RNG.random(B) * 0.4)
    hazard = return_hazard(params, seed, user, reward, trust)
    days = day[:, None] + np.arange(1, params.churn_days + 1)
    below = philox.uniform(seed[:, None], user[:, None], days, Purpose.RETURN) < hazard[:, None]
    expected = np.where(below.any(axis=1), below.argmax(axis=1) + 1, 0)
    assert np.array_equal(days_away(params, seed, user, day, reward, trust), expected)
