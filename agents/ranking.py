"""One fixed ranking for a whole life: what recommenders do that do not listen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..envs.catalogs.public import TrainingLog
from ..records import Action, Brief, Observation


def popularity(log: TrainingLog, num_items: int) -> NDArray[np.int64]:
    """(n) how often each item was chosen in the log."""
    count: NDArray[np.int64] = np.bincount(log.item, minlength=num_items)
    return count


class RankingSession:
    """Walks down a ranking (n) of all items, best first, and never listens.

    Nothing is shown twice in a life before everything was shown once; then it starts over.
    """

    def __init__(self, ranking: NDArray[np.int64], brief: Brief) -> None:
        self._ranking = ranking
        self._size = min(brief.slate_size, len(ranking))
        self._shown = 0

    def act(self, observation: Observation) -> Action:
        """The next items of the ranking."""
        places = (self._shown + np.arange(self._size)) % len(self._ranking)
        self._shown += self._size
        return Action(tuple(self._ranking[places].tolist()))
