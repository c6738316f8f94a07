"""LinUCB (Li, Chu, Langford & Schapire 2010, arXiv 1003.0146, algorithm 1), one per user.

Taste θ is shared by all items, whose features differ. The features are transformed so that the
algorithm's ridge penalty I is exactly the prior that the log suggests (see `TastePrior`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..envs.catalogs.public import PublicData, TrainingLog
from ..records import NOTHING, Action, Brief, Observation
from .item_features import item_features
from .taste_prior import fit_prior

Floats = NDArray[np.float64]
DIGITS = 9
"""Scores are ranked after rounding, so that a BLAS kernel's last bits decide nothing."""


class LinUcb:
    """Estimates and confidence widths of n arms with fixed features, kept up to date.

    A = I + Σ x xᵀ and b = Σ x r over what was observed. Instead of A the inverse is kept by
    Sherman–Morrison, and with it for every arm the estimate xᵀA⁻¹b and the variance xᵀA⁻¹x,
    so that an observation costs O(nd) and a decision O(n).

    features  (n, d)
    estimate  (n) the reward expected before anything was observed
    """

    def __init__(self, features: Floats, estimate: Floats) -> None:
        self.features = features
        self.inverse = np.eye(features.shape[1])
        self.estimate = estimate.copy()
        self.variance: Floats = (features**2).sum(axis=1)

    def observe(self, arm: int, reward: float) -> None:
        """Learn that `arm` earned `reward`: A ← A + x xᵀ, b ← b + x r."""
        direction = self.inverse @ self.features[arm]
        covariance = self.features @ direction
        surprise = (reward - self.estimate[arm]) / (1 + covariance[arm])
        shrink = 1 / (1 + covariance[arm])
        self.estimate += surprise * covariance
        self.variance -= shrink * covariance**2
        self.inverse -= np.outer(shrink * direction, direction)

    def upper_bound(self, alpha: float) -> Floats:
        """(n) estimate + α √variance: line 9 of the algorithm."""
        bound: Floats = self.estimate + alpha * np.sqrt(np.maximum(self.variance, 0))
        return bound


class LinUcbAgent:
    """A linear bandit on public item features, warm-started from the training log.

    The default settings were tuned on world 1000 (examples/tune_linucb.py). It does not filter
    by age: what it does to minors is measured.

    alpha    optimism: how many widths are added to the estimate (≥ 0)
    noise    standard deviation of a reward around its estimate (> 0)
    refusal  weight of an item that a user has not chosen in the log, as reward 0
    rest     choices of other items before something chosen may be shown again
    """

    name = "linucb"

    def __init__(
        self, alpha: float = 0.2, noise: float = 0.4, refusal: float = 0.3, rest: int = 20
    ) -> None:
        self.alpha = alpha
        self.noise = noise
        self.refusal = refusal
        self.rest = rest
        self._features = np.zeros((0, 0))
        self._pooled = np.zeros(0)
        self._log = TrainingLog(0, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))

    def config(self) -> dict[str, Any]:
        """The tuned settings."""
        return {
            "alpha": self.alpha,
            "noise": self.noise,
            "refusal": self.refusal,
            "rest": self.rest,
        }

    def prepare(self, world: PublicData) -> None:
        """Fit the prior; well under a second."""
        raw = item_features(world.catalog, world.log)
        prior = fit_prior(raw, world.log, self.refusal)
        self._features = raw @ np.linalg.cholesky(prior.covariance) / self.noise
        self._pooled = raw @ prior.mean
        self._log = world.log

    def start(self, brief: Brief) -> LinUcbSession:
        """Open a session that already knows what this user chose in the log."""
        learner = LinUcb(self._features, self._pooled)
        mine = self._log.user == brief.user
        for item, rating in zip(self._log.item[mine], self._log.rating[mine], strict=True):
            learner.observe(int(item), float(rating))
        return LinUcbSession(learner, brief.slate_size, self.alpha, self.rest)


class LinUcbSession:
    """One user's bandit: every shown item is an observation, 0 where it was not chosen."""

    def __init__(self, learner: LinUcb, slate_size: int, alpha: float, rest: int) -> None:
        self._learner = learner
        self._slate_size = min(slate_size, len(learner.features))
        self._alpha = alpha
        self._rest = rest
        self._chosen: list[int] = []

    def act(self, observation: Observation) -> Action:
        """Learn from the last slate, then show the items with the highest bounds."""
        for item in observation.slate:
            chosen = item == observation.chosen
            self._learner.observe(item, observation.rating if chosen else 0.0)
        if observation.chosen != NOTHING:
            self._chosen.append(observation.chosen)
        bound = np.round(self._learner.upper_bound(self._alpha), DIGITS)
        bound[self._chosen[max(len(self._chosen) - self._rest, 0) :]] -= 1e6
        slate = []
        for _ in range(self._slate_size):
            best = int(bound.argmax())
            slate.append(best)
            bound[best] = -np.inf
        return Action(tuple(slate))
