"""Sessions that follow one fixed ranking of the items and ignore feedback."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..envs.catalogs.public import TrainingLog
from ..records import Action, Brief, Observation


def choice_counts(log: TrainingLog, num_items: int) -> NDArray[np.int64]:
    """(n) number of choices of each item in the log."""
    count: NDArray[np.int64] = np.bincount(log.item, minlength=num_items)
    return count


class RankingSession:
    """Shows a ranking (n) of all items from the best on, a slate per turn.

    No item is repeated before all were shown; then the ranking starts over.
    """

    def __init__(self, ranking: NDArray[np.int64], brief: Brief) -> None:
        self._ranking = ranking
        self._size = min(brief.slate_size, len(ranking))
        self._shown = 0

    def act(self, observation: Observation) -> Action:
        """The next items of the ranking."""
        ranks = (self._shown + np.arange(self._size)) % len(self._ranking)
        self._shown += self._size
        return Action(tuple(self._ranking[ranks].tolist()))
