"""Compiled loops give the bits of the plain NumPy that defines what they compute."""

import numpy as np
import pytest

from tasteshift.envs.dynamics.drift import Drift, drift_noise, drift_one_day, wander
from tasteshift.envs.dynamics.recurring import Recurring, regime_turns
from tasteshift.envs.dynamics.retention import Retention, days_away, return_hazard
from tasteshift.envs.dynamics.shift import dot, turn, turn_constants, unit
from tasteshift.envs.numerics import elementary as exact
from tasteshift.envs.numerics import philox
from tasteshift.envs.numerics.directions import put_regime, put_turned, to_direction, to_unit
from tasteshift.envs.numerics.grid import GRID, on_grid
from tasteshift.envs.numerics.philox import Purpose

B, M, D = 40, 3, 24
RNG = np.random.default_rng(5)


def tastes(length=1.0, d=D):
    x = RNG.normal(size=(B, M, d))
    return on_grid(length * x / np.linalg.norm(x, axis=-1, keepdims=True))


def test_sweeps_over_rows_give_the_functions_of_single_numbers():
    tiny = 2.0 ** -np.arange(1, 54)
    p = np.concatenate([RNG.random(20_000), tiny, 1 - tiny])
    out, near, tail = np.empty((3, len(p)))
    exact.normal_quantiles(p, near, tail, out)
    assert np.array_equal(out, exact.normal_quantile(p))
    logs = p.copy()
    exact.logs(logs, tail)
    assert np.array_equal(logs, exact.log(p))
    x = np.concatenate([RNG.normal(size=20_000) * 30, [-1e9, -708.5, -708, 0, 709, 709.5, np.inf]])
    exps = x.copy()
    exact.exps(exps)
    assert np.array_equal(exps, exact.exp(x))


@pytest.mark.parametrize("d", [1, 3, 4, 23, 24])
def test_directions_are_those_of_plain_numpy(d):
    x = tastes(1.7, d).reshape(-1, d)
    expected = unit(x)
    units = np.empty(d, dtype=np.int32)
    for row, one in zip(x, expected, strict=True):
        to_direction(row, units)
        assert np.array_equal(units * GRID, one)
        to_unit(row)
        assert np.array_equal(row, one)


def test_turning_is_that_of_plain_numpy_even_towards_ones_own_line():
    x, target = unit(tastes()).reshape(-1, D), tastes(0.7).reshape(-1, D)
    target[:9] = x[:9]
    target[9:18] = 0.0
    cosine, sine = turn_constants(60)
    out = np.empty(D)
    for row, towards, expected in zip(x, target, turn(x, target, cosine, sine), strict=True):
        put_turned(row, towards, cosine, sine, out)
        assert np.array_equal(out, expected)


def test_regimes_are_those_of_plain_numpy():
    taste, target = tastes(1.4), tastes()
    regime = np.arange(B) % 3
    angles = np.array([turn_constants(angle) for angle in (0, 45, 90)])[regime]
    cosine, sine = angles.T[:, :, None, None]
    turned = on_grid(np.sqrt(dot(taste, taste)) * turn(unit(taste), target, cosine, sine))
    expected = np.where((regime == 0)[:, None, None], taste, turned)
    found, turns = taste.copy(), regime_turns(Recurring(28, 3, 90))
    for row, m in np.argwhere(np.broadcast_to((regime > 0)[:, None], (B, M))):
        put_regime(taste[row, m], target[row, m], *turns[regime[row]], found[row, m])
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("d", [5, 24])
def test_many_days_of_drift_are_single_days_in_a_row(d):
    drift, taste, anchor = Drift(30, 1.2), tastes(1.3, d), tastes(1.0, d)
    seed, user = RNG.integers(0, 2**63, B).astype(np.uint64), np.arange(B)
    first = RNG.integers(1, 50, B)
    last = first + RNG.integers(-1, 20, B)
    calendar = first[:, None] + np.arange(20)
    noise = drift_noise(seed, user, calendar, M, d)
    expected = taste
    for k, day in enumerate(calendar.T):
        drifted = drift_one_day(drift, expected, anchor, noise[:, k])
        expected = np.where((day <= last)[:, None, None], drifted, expected)
    assert np.array_equal(wander(drift, seed, user, first, last, taste, anchor), expected)


def test_the_day_of_return_is_the_first_lucky_one():
    params = Retention(0.05, 42)
    seed, user, day = np.full(B, 9, np.uint64), np.arange(B), RNG.integers(0, 30, B)
    reward, trust = RNG.random(B), on_grid(RNG.random(B) * 0.4)
    hazard = return_hazard(params, seed, user, reward, trust)
    ahead = day[:, None] + np.arange(1, params.churn_days + 1)
    lucky = philox.uniform(seed[:, None], user[:, None], ahead, Purpose.RETURN) < hazard[:, None]
    expected = np.where(lucky.any(axis=1), lucky.argmax(axis=1) + 1, 0)
    assert np.array_equal(days_away(params, seed, user, day, reward, trust), expected)
