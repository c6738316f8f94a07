"""Interest profile of one user: ratings, requested topics and recently shown items."""

from __future__ import annotations

from collections import deque

from ...envs.catalogs.catalog import Catalog
from ...envs.catalogs.public import TrainingLog
from ...records import NOTHING, Observation
from .retrieval import find_topics

NEUTRAL_RATING = 0.3
"""A rating below this counts against similar items."""


class InterestProfile:
    """Summary of the training log and of all observations of one user.

    topics  topic indices of the latest utterance that named any
    liked   item -> rating − NEUTRAL_RATING, the latest last; negative for disliked items
    recent  the items shown last, at most `memory`
    """

    def __init__(self, catalog: Catalog, log: TrainingLog, user: int, memory: int) -> None:
        mine = log.user == user
        self._catalog = catalog
        self.topics: tuple[int, ...] = ()
        self.recent: deque[int] = deque(maxlen=memory)
        self.liked = {
            int(item): float(rating) - NEUTRAL_RATING
            for item, rating in zip(log.item[mine], log.rating[mine], strict=True)
        }

    def observe(self, observation: Observation) -> None:
        """Update from the last slate, choice, rating and utterance.

        The title of the chosen item is removed from the utterance before topics are searched.
        """
        words = observation.utterance
        if observation.chosen != NOTHING:
            self.liked.pop(observation.chosen, None)
            self.liked[observation.chosen] = observation.rating - NEUTRAL_RATING
            words = words.replace(self._catalog.label(observation.chosen), "")
        self.recent.extend(observation.slate)
        self.topics = find_topics(words, self._catalog.topics) or self.topics

    def titles(self, count: int, *, liked: bool) -> tuple[str, ...]:
        """At most `count` labels of items that the user liked, or disliked, latest first."""
        found = [item for item, value in self.liked.items() if (value > 0) == liked]
        return tuple(self._catalog.label(item) for item in found[-1 : -count - 1 : -1])
