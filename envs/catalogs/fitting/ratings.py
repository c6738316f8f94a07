"""Ratings to latents: item factors by truncated SVD, several interests per user."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from ..latents import INTERESTS
from .latent_space import Floats
from .simulated_columns import normal_rows

FACTORS = 12
BIAS_SHRINKAGE = 10.0
ITERATIONS = 20
DENSE_SVD_CELLS = 250_000
MIN_MASS_SHARE = 0.02


class Ratings(NamedTuple):
    """m ratings as parallel columns: user row, item index, stars (any scale)."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    stars: Floats


class Factors(NamedTuple):
    """item (n, FACTORS), user (U, FACTORS) of unit norm; bias (n) and times rated (n) of items."""

    item: Floats
    user: Floats
    bias: Floats
    times: Floats


def factorize(ratings: Ratings, num_users: int, num_items: int) -> Factors:
    """Stars minus shrunken user and item biases, then a truncated SVD.

    Rows are normalized, and items with few ratings are shrunk towards zero. Where all stars
    are equal (implicit feedback), the interactions themselves are factorized.
    """
    user, item, stars = ratings
    mean = stars.mean()
    count = np.bincount(item, minlength=num_items).astype(float)
    bias = np.bincount(item, stars - mean, num_items) / (count + BIAS_SHRINKAGE)
    residual = stars - mean - bias[item]
    per_user = np.bincount(user, minlength=num_users)
    user_bias = np.bincount(user, residual, num_users) / (per_user + BIAS_SHRINKAGE)
    residual -= user_bias[user]
    if (stars == stars[0]).all():
        residual = np.ones_like(stars)
    left, scale, right = _svd(csr_array((residual, (user, item)), shape=(num_users, num_items)))
    sign = np.sign(right[np.arange(len(scale)), np.abs(right).argmax(axis=1)])
    item_factor = _padded((right * (sign * np.sqrt(scale))[:, None]).T)
    user_factor = _padded(left * (sign * np.sqrt(scale)))
    item_factor *= (count / (count + BIAS_SHRINKAGE))[:, None] / _norm(item_factor)
    return Factors(item_factor, user_factor / _norm(user_factor), bias, count)


def interests(ratings: Ratings, factors: Factors) -> tuple[Floats, Floats]:
    """The interests of every user (U, M, FACTORS), unit rows, and their masses (U, M).

    Spherical k-means (Dhillon & Modha 2001) over the factors of the items that a user rated
    above their mean, weighted by how far above. The first start is the item with the largest
    weight, the next ones the farthest from the starts so far; the lowest item breaks ties. Users
    with fewer than INTERESTS such items have their overall factor, repeated.
    """
    taste = np.repeat(factors.user[:, None], INTERESTS, axis=1)
    mass = np.ones((len(taste), INTERESTS))
    order = np.lexsort((ratings.item, ratings.user))
    user, item, stars = (column[order] for column in ratings)
    bounds = np.searchsorted(user, np.arange(len(taste) + 1))
    for row, (start, end) in enumerate(pairwise(bounds)):
        above = stars[start:end] - stars[start:end].mean() if end > start else np.empty(0)
        liked = above > 0
        if liked.sum() >= INTERESTS:
            taste[row], mass[row] = _clusters(factors.item[item[start:end][liked]], above[liked])
    return taste, mass


def _clusters(points: Floats, strength: Floats) -> tuple[Floats, Floats]:
    """Centers (M, k) by descending mass and their masses (M); an empty cluster keeps its start."""
    rows = points / _norm(points)
    chosen = [int(strength.argmax())]
    while len(chosen) < INTERESTS:
        chosen.append(int((rows @ rows[chosen].T).max(axis=1).argmin()))
    centers, assigned = rows[chosen], np.full(len(rows), -1)
    for _ in range(ITERATIONS):
        nearest = (rows @ centers.T).argmax(axis=1)
        if (nearest == assigned).all():
            break
        assigned = nearest
        pull = (assigned == np.arange(INTERESTS)[:, None]) * strength
        sums = pull @ rows
        centers = np.where(_norm(sums) > 1e-9, sums / _norm(sums), centers)
    mass = np.bincount(assigned, strength, INTERESTS)
    mass = np.maximum(mass, MIN_MASS_SHARE * mass.sum())
    largest = np.argsort(-mass, kind="stable")
    return centers[largest], mass[largest]


def _svd(matrix: csr_array) -> tuple[Floats, Floats, Floats]:
    """The leading singular triplets, at most FACTORS; dense SVD for small matrices."""
    if min(matrix.shape) <= FACTORS or matrix.shape[0] * matrix.shape[1] <= DENSE_SVD_CELLS:
        left, scale, right = np.linalg.svd(matrix.toarray(), full_matrices=False)
        return left[:, :FACTORS], scale[:FACTORS], right[:FACTORS]
    start = normal_rows(0, 0, 1, min(matrix.shape))[0]
    left, scale, right = svds(matrix, k=FACTORS, v0=start, solver="arpack")
    return left, scale, right


def _padded(rows: Floats) -> Floats:
    """(…, FACTORS), the missing columns 0."""
    return np.pad(rows, ((0, 0), (0, FACTORS - rows.shape[1])))


def _norm(rows: Floats) -> Floats:
    norm: Floats = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return norm
