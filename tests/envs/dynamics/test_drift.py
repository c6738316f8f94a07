"""Drift against transition and stationary distribution of the Ornstein–Uhlenbeck process."""

import numpy as np
import pytest
from scipy import stats

from tasteshift.envs.dynamics.drift import Drift, drift_noise, drift_one_day, stationary_taste
from tasteshift.envs.numerics.grid import GRID

USERS, M, D = 2000, 3, 24


def unit(rows: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(rows, M, D))
    return np.round(x / np.linalg.norm(x, axis=-1, keepdims=True) / GRID) * GRID


def drifted(drift: Drift, taste, anchor, days: int, seed=0):
    dates = np.tile(np.arange(1, days + 1), (len(taste), 1))
    noise = drift_noise(seed, np.arange(len(taste)), dates, M, D)
    for k in range(days):
        taste = drift_one_day(drift, taste, anchor, noise[:, k])
    return taste


def stationary(drift: Drift, anchor, seed: int):
    noise = drift_noise(seed, np.arange(USERS), np.zeros((USERS, 1), dtype=int), M, D)
    return stationary_taste(drift, anchor, noise[:, 0])


@pytest.mark.parametrize("days", [1, 5, 20])
def test_mean_and_variance_after_days_match_the_process(days):
    drift, anchor = Drift(half_life_days=5, dispersion=0.8), unit(USERS, 0)
    start = anchor + 0.5 * unit(USERS, 1)
    left = 0.5 ** (days / 5)
    residual = drifted(drift, start, anchor, days) - anchor - left * (start - anchor)
    variance = 0.8**2 / D * (1 - left**2)
    standard_error = np.sqrt(variance / USERS)
    assert np.abs(residual.mean(axis=0)).max() < 4.5 * standard_error  # largest of 72 means
    assert residual.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / residual.size))


def test_a_deviation_halves_in_a_half_life():
    drift, anchor = Drift(half_life_days=64, dispersion=0.0), unit(50, 2)
    start = anchor + unit(50, 3)
    after = drifted(drift, start, anchor, 64)
    assert np.abs(after - anchor - 0.5 * (start - anchor)).max() < 64 * GRID / 2


def test_the_stationary_distribution_is_normal_and_invariant():
    drift, anchor = Drift(half_life_days=5, dispersion=1.2), unit(USERS, 4)
    start = stationary(drift, anchor, seed=1)
    after = drifted(drift, start, anchor, days=5, seed=1)
    scale = 1.2 / np.sqrt(D)
    for taste in (start, after):
        assert stats.kstest((taste - anchor).ravel() / scale, "norm").pvalue > 1e-3
        variance = (taste - anchor).var() / scale**2
        assert variance == pytest.approx(1, abs=4 * np.sqrt(2 / taste.size))
    correlation = np.corrcoef((start - anchor).ravel(), (after - anchor).ravel())[0, 1]
    assert correlation == pytest.approx(0.5, abs=4 * 0.75 / np.sqrt(start.size))


def test_the_angle_to_the_anchor_matches_the_dispersion():
    r, anchor = 1.2, unit(USERS, 5)
    taste = stationary(Drift(half_life_days=5, dispersion=r), anchor, seed=2)
    cosine = (taste * anchor).sum(axis=-1) / np.linalg.norm(taste, axis=-1)
    along, weight = np.polynomial.hermite_e.hermegauss(40)
    along = 1 + r * along / np.sqrt(D)
    across = r**2 / D * stats.chi2(D - 1).ppf((np.arange(2000) + 0.5) / 2000)
    exact = weight @ (along[:, None] / np.sqrt(along[:, None] ** 2 + across)).mean(1) / weight.sum()
    assert cosine.mean() == pytest.approx(exact, abs=4 * cosine.std() / np.sqrt(cosine.size))
    assert (1 + r**2) ** -0.5 == pytest.approx(exact, abs=0.5 / D)


def test_noise_depends_on_user_and_day_alone():
    users, days = np.arange(3), np.tile(np.arange(1, 9), (3, 1))
    batched = drift_noise(5, users, days, M, D)
    single = [drift_noise(5, users, days[:, k : k + 1], M, D) for k in range(8)]
    assert (batched == np.concatenate(single, axis=1)).all()
    assert (batched[1:2] == drift_noise(5, users[1:2], days[1:2], M, D)).all()
    seeds = np.array([4, 5, 2**63 + 1], dtype=np.uint64)
    mixed = drift_noise(seeds, users, days, M, D)
    assert (mixed[1] == batched[1]).all()
    assert (mixed[2] == drift_noise(2**63 + 1, users, days, M, D)[2]).all()
    assert len(np.unique(mixed)) > 0.999 * mixed.size


def test_tastes_lie_on_the_grid():
    drift, anchor = Drift(half_life_days=3, dispersion=1.2), unit(20, 6)
    units = drifted(drift, anchor, anchor, days=2) / GRID
    assert (units == np.rint(units)).all()
