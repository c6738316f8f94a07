"""Rating factorization, interests and the latent space: closed forms and small cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasteshift.envs.catalogs.fitting.latent_space import (
    normalized_weights,
    reflect,
    standardize,
    unit_rows,
)
from tasteshift.envs.catalogs.fitting.ratings import FACTORS, Factors, Ratings, factorize, interests
from tasteshift.envs.catalogs.load import load_data

AXES = np.eye(FACTORS)


def factors_of(items, users=1):
    mean = np.full((users, FACTORS), FACTORS**-0.5)
    return Factors(np.array(items), mean, np.zeros(len(items)), np.ones(len(items)))


def ratings_of(rows):
    user, item, stars = (np.array(column) for column in zip(*rows, strict=True))
    return Ratings(user, item, stars.astype(float))


def test_interests_are_the_directions_of_what_was_liked():
    """Liked: four items along axis 0, two along axis 3, one along axis 7; one was disliked."""
    items = [AXES[0], AXES[0], AXES[0], AXES[0], AXES[3], AXES[3], AXES[7], AXES[5]]
    rows = [(0, k, 5) for k in range(7)] + [(0, 7, 1)]
    taste, mass = interests(ratings_of(rows), factors_of(items))
    np.testing.assert_allclose(taste[0], AXES[[0, 3, 7]], atol=1e-12)
    np.testing.assert_allclose(mass[0] / mass[0].sum(), [4 / 7, 2 / 7, 1 / 7])


def test_mass_is_the_rating_above_the_users_mean():
    """Stars 5, 4, 4, 1 have mean 3.5: masses 1.5, 0.5, 0.5."""
    rows = [(0, 0, 5), (0, 1, 4), (0, 2, 4), (0, 3, 1)]
    taste, mass = interests(ratings_of(rows), factors_of(AXES[:4]))
    np.testing.assert_allclose(mass[0], [1.5, 0.5, 0.5])
    np.testing.assert_allclose(taste[0], AXES[[0, 1, 2]])


def test_users_with_too_few_liked_items_repeat_their_factor():
    rows = [(0, 0, 5), (0, 1, 5), (0, 2, 1)]
    factors = factors_of(AXES[:4], users=2)
    taste, mass = interests(ratings_of(rows), factors)
    np.testing.assert_allclose(taste, np.repeat(factors.user[:, None], 3, axis=1))
    assert (mass == 1).all()


def test_identical_likes_still_give_positive_masses():
    rows = [(0, k, 5) for k in range(4)] + [(0, 4, 1)]
    taste, mass = interests(ratings_of(rows), factors_of([AXES[2]] * 4 + [AXES[1]]))
    assert (mass > 0).all()
    np.testing.assert_allclose(taste[0], AXES[[2, 2, 2]])


def test_the_order_of_the_ratings_does_not_matter():
    rng = np.random.default_rng(3)
    rows = [(u, i, rng.integers(1, 6)) for u in range(5) for i in rng.permutation(30)[:20]]
    factors = factors_of(rng.normal(size=(30, FACTORS)), users=5)
    one = interests(ratings_of(rows), factors)
    other = interests(ratings_of([rows[k] for k in rng.permutation(len(rows))]), factors)
    assert (one[0] == other[0]).all()
    np.testing.assert_allclose(one[1], other[1], rtol=1e-12)


def test_factorization_separates_two_groups_of_users():
    """Even users rate even items 5 and odd ones 1; odd users the reverse."""
    rows = [(u, i, 5 if (u + i) % 2 == 0 else 1) for u in range(20) for i in range(30)]
    found = factorize(ratings_of(rows), 20, 30)
    score = found.user @ found.item.T
    alike = (np.arange(20)[:, None] + np.arange(30)) % 2 == 0
    assert score[alike].min() > 0 > score[~alike].max()
    np.testing.assert_allclose(np.linalg.norm(found.user, axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(found.item, axis=1), 20 / (20 + 10))
    assert (found.times == 20).all()


def test_implicit_feedback_is_factorized_too():
    rows = [(u, i, 1) for u in range(20) for i in range(30) if (u + i) % 2 == 0]
    found = factorize(ratings_of(rows), 20, 30)
    score = found.user @ found.item.T
    alike = (np.arange(20)[:, None] + np.arange(30)) % 2 == 0
    assert score[alike].min() > score[~alike].max() + 0.3


on_grid = st.integers(-(4 * 2**20), 4 * 2**20).map(lambda k: k * 2.0**-20)


@given(arrays(float, (5, 6), elements=on_grid), arrays(float, 6, elements=on_grid))
def test_reflection_is_orthonormal_and_its_own_inverse(rows, axis):
    axis = axis + (np.abs(axis).max() < 0.5)
    mirrored = reflect(rows, axis)
    np.testing.assert_allclose(mirrored @ mirrored.T, rows @ rows.T, atol=1e-3)
    np.testing.assert_allclose(reflect(mirrored, axis), rows, atol=1e-5)
    along = mirrored @ axis
    np.testing.assert_allclose(along, -(rows @ axis), atol=1e-4)


@given(arrays(float, (4, 3), elements=st.floats(0.01, 100)))
def test_normalized_weights_sum_to_exactly_one(mass):
    weights = normalized_weights(mass)
    assert (weights.sum(axis=1) == 1).all()
    np.testing.assert_allclose(weights, mass / mass.sum(axis=1, keepdims=True), atol=1e-5, rtol=0)


@given(arrays(float, (4, 8), elements=on_grid))
def test_unit_rows(rows):
    found = unit_rows(rows)
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 2**-18
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    direction = np.where(length > 0, rows, np.eye(8)[:1])
    np.testing.assert_allclose(found * np.maximum(length, length == 0), direction, atol=2e-5)


def test_standardized_columns_and_constant_ones():
    values = np.column_stack([np.arange(100.0), np.full(100, 3.0)])
    found = standardize(values)
    assert found[:, 0].mean() == pytest.approx(0, abs=1e-5)
    assert found[:, 0].std() == pytest.approx(1, abs=1e-5)
    assert (found[:, 1] == 0).all()


def test_movielens_hash_is_pinned():
    assert load_data("movielens-100k").public.hash.startswith("5eab605ad53b0b73")
