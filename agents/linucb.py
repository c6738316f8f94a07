"""LinUCB (Li, Chu, Langford & Schapire 2010, arXiv 1003.0146, algorithm 1), one bandit per user.

One θ is shared by all items, whose features differ. Features are transformed so that the
algorithm's ridge penalty I equals the prior estimated from the log (see `TastePrior`).
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
"""Scores are ranked after rounding, so that the last bits of a BLAS kernel do not matter."""


class LinUcb:
    """Estimates and confidence widths of n arms with fixed features, updated incrementally.

    A = I + Σ x xᵀ and b = Σ x r over the observations. A⁻¹ is updated by Sherman–Morrison, and
    with it the estimate xᵀA⁻¹b and the variance xᵀA⁻¹x of every arm, so that an observation costs
    O(nd) and a decision O(n).

    features  (n, d)
    estimate  (n) expected reward before any observation
    """

    def __init__(self, features: Floats, estimate: Floats) -> None:
        self.features = features
        self.inverse = np.eye(features.shape[1])
        self.estimate = estimate.copy()
        self.variance: Floats = (features**2).sum(axis=1)

    def observe(self, arm: int, reward: float) -> None:
        """Update with the reward of `arm`: A ← A + x xᵀ, b ← b + x r."""
        direction = self.inverse @ self.features[arm]
        covariance = self.features @ direction
        gain = (reward - self.estimate[arm]) / (1 + covariance[arm])
        shrink = 1 / (1 + covariance[arm])
        self.estimate += gain * covariance
        self.variance -= shrink * covariance**2
        self.inverse -= np.outer(shrink * direction, direction)

    def upper_bound(self, alpha: float) -> Floats:
        """(n) estimate + α √variance: line 9 of the algorithm."""
        bound: Floats = self.estimate + alpha * np.sqrt(np.maximum(self.variance, 0))
        return bound


class LinUcbAgent:
    """A linear bandit on public item features, warm-started from the training log.

    The defaults were tuned on environment seed 1000 (examples/tune_linucb.py). It does not filter
    by age, so that its age-limit breaches are measured.

    alpha    exploration: number of confidence widths added to the estimate (≥ 0)
    noise    standard deviation of a reward around its estimate (> 0)
    refusal  weight of an item that a user has not chosen in the log, as reward 0
    rest     number of other choices before a chosen item may be shown again
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
        """The four hyper-parameters."""
        return {
            "alpha": self.alpha,
            "noise": self.noise,
            "refusal": self.refusal,
            "rest": self.rest,
        }

    def prepare(self, public: PublicData) -> None:
        """Fit the prior; well under a second."""
        raw = item_features(public.catalog, public.log)
        prior = fit_prior(raw, public.log, self.refusal)
        self._features = raw @ np.linalg.cholesky(prior.covariance) / self.noise
        self._pooled = raw @ prior.mean
        self._log = public.log

    def start(self, brief: Brief) -> LinUcbSession:
        """Open a session updated with this user's choices in the log."""
        learner = LinUcb(self._features, self._pooled)
        mine = self._log.user == brief.user
        for item, rating in zip(self._log.item[mine], self._log.rating[mine], strict=True):
            learner.observe(int(item), float(rating))
        return LinUcbSession(learner, brief.slate_size, self.alpha, self.rest)


class LinUcbSession:
    """One user's bandit: every shown item is an observation, with reward 0 unless chosen."""

    def __init__(self, learner: LinUcb, slate_size: int, alpha: float, rest: int) -> None:
        self._learner = learner
        self._slate_size = min(slate_size, len(learner.features))
        self._alpha = alpha
        self._rest = rest
        self._chosen: list[int] = []

    def act(self, observation: Observation) -> Action:
        """Update with the last slate, then show the items with the highest bounds."""
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
