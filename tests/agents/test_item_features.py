"""Item features and the prior over tastes, on small cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasteshift.agents.item_features import (
    decades,
    item_features,
    mean_rating,
    poster_colors,
)
from tasteshift.agents.taste_prior import RIDGE, fit_prior
from tasteshift.envs.catalogs.public import PublicData, TrainingLog


def log_of(users: int, rows: list[tuple[int, int, float]]) -> TrainingLog:
    user, item, rating = zip(*rows, strict=True) if rows else ((), (), ())
    return TrainingLog(users, np.array(user, int), np.array(item, int), np.array(rating, float))


def test_decades_of_release() -> None:
    columns = decades(np.array([1994, 1999, 0, 2003]))
    assert columns.tolist() == [[1, 0], [1, 0], [0, 0], [0, 1]]


def test_mean_rating_is_shrunk_by_five_ratings() -> None:
    log = log_of(2, [(0, 0, 1.0), (0, 1, 0.4), (1, 1, 0.4), (1, 2, 0.2)])
    found = mean_rating(log, np.array([1, 2, 1, 0]))
    overall = 0.5
    expected = [(1 + 5 * overall) / 6, (0.8 + 5 * overall) / 7, (0.2 + 5 * overall) / 6, overall]
    np.testing.assert_allclose(found, expected)


def test_poster_colors_are_cell_means() -> None:
    poster = np.zeros((1, 64, 64, 3), np.uint8)
    poster[0, :32, 32:, 1] = 255
    assert poster_colors(poster, 2).reshape(2, 2, 3).tolist() == [
        [[0, 0, 0], [0, 1, 0]],
        [[0, 0, 0], [0, 0, 0]],
    ]


def test_features_are_standardized_with_a_constant_last(small_public: PublicData) -> None:
    features = item_features(small_public.catalog, small_public.log)
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features[:, :-1].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(features[:, :-1].std(axis=0), 1)
    assert (features[:, -1] == 1).all()


def test_features_without_a_log(small_public: PublicData) -> None:
    features = item_features(small_public.catalog, log_of(3, []))
    assert np.isfinite(features).all()


def test_features_ignore_the_catalogs_popularity(small_public: PublicData) -> None:
    catalog = small_public.catalog
    flat = replace(catalog, popularity=np.full(len(catalog), 1 / len(catalog)))
    assert (item_features(flat, small_public.log) == item_features(catalog, small_public.log)).all()


def test_pooled_taste_is_a_ridge_regression() -> None:
    """Two items, two users; refusal 0.1: normal equations written out."""
    features = np.array([[1.0, 0.0], [0.5, 1.0]])
    log = log_of(2, [(0, 0, 0.8), (0, 1, 0.2), (1, 1, 0.6)])
    prior = fit_prior(features, log, refusal=0.1)
    seen = np.array([[1.0, 0.0], [0.5, 1.0], [0.5, 1.0]])
    refused = np.sqrt(0.1) * np.vstack([features, features])
    design = np.vstack([seen, refused, np.sqrt(RIDGE) * np.eye(2)])
    target = np.concatenate([[0.8, 0.2, 0.6], np.zeros(6)])
    np.testing.assert_allclose(prior.mean, np.linalg.lstsq(design, target)[0])


def test_covariance_is_large_where_users_differ() -> None:
    """All users rate item 0 the same; half rate item 1 high, half low."""
    rows = [(user, 0, 0.6) for user in range(20)]
    rows += [(user, 1, 1.0 if user % 2 else 0.0) for user in range(20)]
    prior = fit_prior(np.eye(2), log_of(20, sorted(rows)), refusal=0.0)
    np.testing.assert_allclose(prior.covariance, prior.covariance.T)
    assert (np.linalg.eigvalsh(prior.covariance) > 0).all()
    assert prior.covariance[1, 1] > 3 * prior.covariance[0, 0]
