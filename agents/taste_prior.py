"""Gaussian prior over the linear tastes of users, estimated from the training log.

Reward ≈ ⟨θ_u, x_i⟩ with θ_u ~ N(mean, covariance). The log shows choices but no refusals, so
every item also counts as weak evidence of reward 0, as with implicit feedback (Hu, Koren &
Volinsky 2008, "Collaborative filtering for implicit feedback datasets").
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..envs.catalogs.public import TrainingLog

Floats = NDArray[np.float64]

RIDGE = 1.0
ISOTROPIC_SHARE = 0.3
"""Share of the covariance that is isotropic."""


@dataclass(frozen=True, eq=False)
class TastePrior:
    """mean: (d) pooled taste; covariance: (d, d) of tastes between users, positive definite."""

    mean: Floats
    covariance: Floats


def fit_prior(features: Floats, log: TrainingLog, refusal: float) -> TastePrior:
    """Empirical Bayes: a pooled ridge regression, then one for each user around it.

    features  (n, d)
    refusal   weight of an item not chosen, as reward 0; a choice has weight 1
    """
    d, users = features.shape[1], max(log.num_users, 1)
    ridge, everything = RIDGE * np.eye(d), refusal * features.T @ features
    chosen = features[log.item]
    gram = users * everything + chosen.T @ chosen
    mean = np.linalg.solve(gram + ridge, chosen.T @ log.rating).astype(np.float64)

    edges = np.searchsorted(log.user, np.arange(log.num_users + 1))
    spread = np.zeros((d, d))
    for first, last in pairwise(edges):
        x, rating = chosen[first:last], log.rating[first:last]
        residual = x.T @ (rating - x @ mean) - everything @ mean
        deviation = np.linalg.solve(ridge + everything + x.T @ x, residual)
        spread += np.outer(deviation, deviation) / users
    isotropic = max(float(np.trace(spread)) / d, 1e-6) * np.eye(d)
    covariance: Floats = (1 - ISOTROPIC_SHARE) * spread + ISOTROPIC_SHARE * isotropic
    return TastePrior(mean, covariance)
