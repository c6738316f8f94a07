"""What an agent has learned of one user: liked items, topics asked for, items shown lately."""

from __future__ import annotations

from collections import deque

from ...envs.catalogs.catalog import Catalog
from ...envs.catalogs.public import TrainingLog
from ...records import NOTHING, Observation
from .retrieval import topics_named

INDIFFERENT = 0.3
"""A rating below this counts against similar items."""


class Profile:
    """Grows with every observation.

    asked   topic indices of the latest utterance that named any
    liked   item -> rating − INDIFFERENT, from the log and from this life, the latest last
    recent  items shown lately
    """

    def __init__(self, catalog: Catalog, log: TrainingLog, user: int, memory: int) -> None:
        mine = log.user == user
        self._catalog = catalog
        self.asked: tuple[int, ...] = ()
        self.recent: deque[int] = deque(maxlen=memory)
        self.liked = {
            int(item): float(rating) - INDIFFERENT
            for item, rating in zip(log.item[mine], log.rating[mine], strict=True)
        }

    def observe(self, observation: Observation) -> None:
        """Take in what was shown, chosen and said; titles are not mistaken for topics."""
        words = observation.utterance
        if observation.chosen != NOTHING:
            self.liked.pop(observation.chosen, None)
            self.liked[observation.chosen] = observation.rating - INDIFFERENT
            words = words.replace(self._catalog.label(observation.chosen), "")
        self.recent.extend(observation.slate)
        self.asked = topics_named(words, self._catalog.topics) or self.asked

    def titles(self, most: int, *, liked: bool) -> tuple[str, ...]:
        """At most so many labels of what the user liked, or of what they did not, latest first."""
        found = [item for item, much in self.liked.items() if (much > 0) == liked]
        return tuple(self._catalog.label(item) for item in found[-1 : -most - 1 : -1])
