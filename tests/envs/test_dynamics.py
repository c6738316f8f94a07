"""Every dynamic against its closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.envs.dynamics.drift import Drift, drift_noise, drift_one_day, stationary_taste
from tasteshift.envs.dynamics.shift import Shift, rotate, shift_plan

USERS, D = 4000, 24


def unit(rows: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(rows, D))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def drifted(drift: Drift, taste, anchor, days: int):
    noise = drift_noise(
        0, np.arange(len(taste)), np.tile(np.arange(1, days + 1), (len(taste), 1)), D
    )
    for k in range(days):
        taste = drift_one_day(drift, taste, anchor, noise[:, k])
    return taste


def test_drift_has_the_mean_and_variance_of_an_ornstein_uhlenbeck_process():
    drift, anchor = Drift(half_life_days=20, dispersion=0.8), unit(USERS, 0)
    start = anchor + 0.5 * unit(USERS, 1)
    after = drifted(drift, start, anchor, days=20) - anchor
    expected_mean = 0.5 * (start - anchor)
    standard_error = 0.8 / np.sqrt(D) / np.sqrt(USERS)
    assert np.abs((after - expected_mean).mean(axis=0)).max() < 4 * standard_error
    variance = 0.8**2 / D * (1 - 0.5**2)
    assert (after - expected_mean).var() == pytest.approx(variance, rel=0.03)


def test_drift_keeps_its_stationary_law_and_its_angle_to_the_anchor():
    drift, anchor = Drift(half_life_days=5, dispersion=1.2), unit(USERS, 2)
    noise = drift_noise(1, np.arange(USERS), np.zeros((USERS, 1), dtype=int), D)[:, 0]
    taste = drifted(drift, stationary_taste(drift, anchor, noise), anchor, days=15)
    assert ((taste - anchor) ** 2).sum(axis=1).mean() == pytest.approx(1.2**2, rel=0.02)
    cosine = (taste * anchor).sum(axis=1) / np.linalg.norm(taste, axis=1)
    assert cosine.mean() == pytest.approx((1 + 1.2**2) ** -0.5, abs=0.02)


def test_days_compose_whatever_their_grouping():
    days = np.tile(np.arange(1, 9), (3, 1))
    together = drift_noise(5, np.arange(3), days, D)
    apart = np.concatenate(
        [drift_noise(5, np.arange(3), days[:, k : k + 1], D) for k in range(8)], 1
    )
    assert (together == apart).all()


@given(angle=st.floats(0.01, 3.1), seed=st.integers(0, 1000))
def test_rotation_turns_by_the_stated_angle_and_keeps_the_norm(angle, seed):
    a, b = unit(4, seed), unit(4, seed + 1)
    turned = rotate(a, b, angle)
    assert np.linalg.norm(turned, axis=1) == pytest.approx(np.ones(4))
    assert np.arccos(np.clip((a * turned).sum(axis=1), -1, 1)) == pytest.approx(np.full(4, angle))
    assert (((turned - np.cos(angle) * a) * b).sum(axis=1) > 0).all()


def test_shift_days_are_uniform_and_targets_are_somebody_else():
    shift, users = Shift(1.0, first_day=22, last_day=35), np.arange(14_000)
    days, targets = shift_plan(shift, 0, users, 14_000)
    assert set(days) == set(range(22, 36))
    assert np.bincount(days - 22).min() > 850
    assert (targets != users).all()
    assert 8_500 < len(set(targets)) < 9_200  # 1 − 1/e of all, as for independent draws
