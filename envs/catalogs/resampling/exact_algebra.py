"""Bit-exact moments, Cholesky factors and least squares, the same on every machine.

Sums run over a grid on which they are exact in any order; the rest are +, −, ×, ÷ and √ of whole
arrays in a fixed order, where the last bits of a library's solver differ by machine.
"""

from __future__ import annotations

import numpy as np

from ...numerics.grid import on_grid
from ..fitting.latent_space import Floats, standardize

SUM_GRID = 2.0**-12
"""The grid of the sums: exact for half a billion rows of numbers of about 1."""

MIN_PIVOT = 1e-9
SHARE_DIGITS = 2


def on_sum_grid(values: Floats) -> Floats:
    """Values on the grid on which sums of products are exact."""
    rounded: Floats = np.round(values / SUM_GRID) * SUM_GRID
    return rounded


def mean_and_covariance(rows: Floats) -> tuple[Floats, Floats]:
    """Mean (k) and covariance (k, k) of rows (n, k)."""
    exact = on_sum_grid(rows)
    mean = exact.sum(axis=0) / len(exact)
    return mean, exact.T @ exact / len(exact) - mean[:, None] * mean


def cholesky(covariance: Floats) -> Floats:
    """(k, k) The Cholesky factor L on the grid, L Lᵀ = covariance, column by column."""
    left, factor = covariance.copy(), np.zeros_like(covariance)
    for k in range(len(left)):
        if left[k, k] > MIN_PIVOT:
            factor[k:, k] = left[k:, k] / np.sqrt(left[k, k])
            left[k:, k:] -= factor[k:, k, None] * factor[k:, k]
    return on_grid(factor)


def solve(gram: Floats, cross: Floats) -> Floats:
    """(f, k) B on the grid with gram (f, f) · B = cross (f, k), by Gauss-Jordan elimination.

    gram  symmetric and positive definite
    """
    left = np.hstack([gram, cross])
    for k in range(len(gram)):
        left[k] /= left[k, k]
        others = left[:, k, None].copy()
        others[k] = 0.0
        left -= others * left[k]
    return on_grid(left[:, len(gram) :])


def explained_share(known: Floats, rows: Floats) -> float:
    """Adjusted R² of the best linear map from known (n, j) to rows (n, k), in hundredths."""
    n, j = known.shape
    covariance = mean_and_covariance(np.hstack([standardize(known), standardize(rows)]))[1]
    total = np.diag(covariance)[j:].sum()
    if total <= 0 or n <= j + 1:
        return 0.0
    for k in range(j):
        if covariance[k, k] > MIN_PIVOT:
            covariance = covariance - covariance[:, k, None] * (covariance[k] / covariance[k, k])
    left = np.diag(covariance)[j:].sum() / total * n / (n - j)
    return float(np.clip(np.round(1 - left, SHARE_DIGITS), 0.0, 1.0))
