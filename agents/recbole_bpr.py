"""RecBole's BPR: matrix factorization with a pairwise loss (Rendle et al. 2009)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..envs.catalogs.public import PublicData
from ..records import Brief
from .ranking import RankingSession, choice_counts
from .recbole_adapter import Factors, factorize


class RecboleBprAgent:
    """Ranks items by ⟨user, item⟩ learned from the log; does not learn within an episode.

    Users without a row in the log get the popularity ranking; items without one come last,
    in catalog order.
    """

    name = "recbole-bpr"

    def __init__(
        self, embedding_size: int = 64, learning_rate: float = 0.005, epochs: int = 40
    ) -> None:
        self.embedding_size = embedding_size
        self.learning_rate = learning_rate
        self.epochs = epochs
        self._factors = Factors(np.zeros((0, 0)), np.zeros((0, 0)))
        self._popularity = np.zeros(0, dtype=np.int64)

    def config(self) -> dict[str, Any]:
        """Hyper-parameters of the training."""
        return {
            "embedding_size": self.embedding_size,
            "learning_rate": self.learning_rate,
            "epochs": self.epochs,
        }

    def prepare(self, public: PublicData) -> None:
        """Train on the log, a few seconds; raises InputError where RecBole is missing."""
        num_items = len(public.catalog)
        settings = {"embedding_size": self.embedding_size, "learning_rate": self.learning_rate}
        self._factors = factorize("BPR", public.log, num_items, public.seed, self.epochs, settings)
        self._popularity = choice_counts(public.log, num_items)

    def scores(self, user: int) -> NDArray[np.float64]:
        """(n) the model's score of each item for `user`; −inf for items not in the log."""
        taste = self._factors.user[user]
        if np.isnan(taste).any():
            return self._popularity.astype(np.float64)
        score = (self._factors.item * taste).sum(axis=1)
        return np.where(np.isnan(score), -np.inf, score)

    def start(self, brief: Brief) -> RankingSession:
        """Open a session at the top of the user's ranking."""
        return RankingSession(np.argsort(-self.scores(brief.user), kind="stable"), brief)
