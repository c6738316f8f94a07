"""Moments and least squares without a rounding that a machine decides.

Sums run over a grid on which they are exact in any order; what follows are +, −, ×, ÷ and √ of
whole arrays in a fixed order, where a library's solver would leave its own last bits.
"""

from __future__ import annotations

import numpy as np

from ..numerics.grid import on_grid
from .taste_space import Floats, standardized

COARSE = 2.0**-12
"""The grid of the sums: exact for half a billion rows of numbers of about 1."""

LEAST_PIVOT = 1e-9
SHARE_DIGITS = 2


def coarse(values: Floats) -> Floats:
    """Values on the grid on which sums of products are exact."""
    rounded: Floats = np.round(values / COARSE) * COARSE
    return rounded


def moments(rows: Floats) -> tuple[Floats, Floats]:
    """Mean (k) and covariance (k, k) of rows (n, k)."""
    exact = coarse(rows)
    mean = exact.sum(axis=0) / len(exact)
    return mean, exact.T @ exact / len(exact) - mean[:, None] * mean


def root(covariance: Floats) -> Floats:
    """(k, k) L on the grid with L Lᵀ the covariance: Cholesky's, column by column."""
    left, factor = covariance.copy(), np.zeros_like(covariance)
    for k in range(len(left)):
        if left[k, k] > LEAST_PIVOT:
            factor[k:, k] = left[k:, k] / np.sqrt(left[k, k])
            left[k:, k:] -= factor[k:, k, None] * factor[k:, k]
    return on_grid(factor)


def solved(gram: Floats, cross: Floats) -> Floats:
    """(f, k) B on the grid with gram (f, f) · B = cross (f, k): Gauss and Jordan, row by row.

    gram  symmetric and positive definite
    """
    left = np.hstack([gram, cross])
    for k in range(len(gram)):
        left[k] /= left[k, k]
        others = left[:, k, None].copy()
        others[k] = 0.0
        left -= others * left[k]
    return on_grid(left[:, len(gram) :])


def foretold(known: Floats, rows: Floats) -> float:
    """The share of rows (n, k) that a linear map foretells from known (n, j), in hundredths.

    Adjusted for the freedom that a fit has, so that nothing foretells nothing.
    """
    n, j = known.shape
    covariance = moments(np.hstack([standardized(known), standardized(rows)]))[1]
    total = np.diag(covariance)[j:].sum()
    if total <= 0 or n <= j + 1:
        return 0.0
    for k in range(j):
        if covariance[k, k] > LEAST_PIVOT:
            covariance = covariance - covariance[:, k, None] * (covariance[k] / covariance[k, k])
    left = np.diag(covariance)[j:].sum() / total * n / (n - j)
    return float(np.clip(np.round(1 - left, SHARE_DIGITS), 0.0, 1.0))
