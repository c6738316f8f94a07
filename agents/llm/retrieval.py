"""From the catalog to a short list: what a language model gets to choose from."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...envs.catalogs.catalog import Catalog
from ...envs.catalogs.public import PublicData
from ...records import ObservedAgeGroup
from ..ranking import popularity

Floats = NDArray[np.float64]

SUITABLE_UP_TO = {"child": 0, "unknown": 0, "teen": 13, "adult": 18}
"""Highest minimum age that may be listed for each age group: its youngest member's view."""

DIGITS = 9


@dataclass(frozen=True)
class Weights:
    """What counts how much in the ranking; all terms lie in [0, 1].

    topic       share of the topics asked for that an item has
    similarity  how often those who chose an item also chose what the user liked
    popularity  log of how often the log's users chose it
    """

    topic: float = 0.5
    similarity: float = 1.0
    popularity: float = 0.5


class Retrieval:
    """Ranks a catalog by what a user asked for and liked, and by what others chose."""

    def __init__(self, world: PublicData, weights: Weights) -> None:
        self.catalog: Catalog = world.catalog
        self.weights = weights
        count = np.log1p(popularity(world.log, len(world.catalog)))
        self._popularity: Floats = count / max(float(count.max()), 1.0)
        self._columns = _choices(world)
        self._topic = world.catalog.topic.astype(np.float64)

    def shortlist(
        self,
        size: int,
        asked: Collection[int],
        liked: Mapping[int, float],
        age_group: ObservedAgeGroup,
        without: Collection[int] = (),
    ) -> tuple[int, ...]:
        """At most `size` item indices, the best first, none above the limit of the age group.

        Items without a maturity label are for adults only.

        asked    topic indices
        liked    item -> how much; negative where it was disliked
        without  items to leave out; they come back only when nothing else is left
        """
        score = self.scores(asked, liked)
        score[list(without)] -= 1e3
        label = self.catalog.maturity
        told = (label >= 0) | (age_group == "adult")
        suitable = np.flatnonzero(told & (label <= SUITABLE_UP_TO[age_group]))
        order = np.argsort(-np.round(score[suitable], DIGITS), kind="stable")
        return tuple(suitable[order[:size]].tolist())

    def scores(self, asked: Collection[int], liked: Mapping[int, float]) -> Floats:
        """(n) how well each item fits."""
        topic, weights = list(asked), self.weights
        score = weights.popularity * self._popularity
        if topic:
            score = score + weights.topic * self._topic[:, topic].mean(axis=1)
        if liked:
            items, much = list(liked), np.array(list(liked.values()))
            alike = self._columns.T @ (self._columns[:, items] @ much)
            score = score + weights.similarity * alike / max(float(np.abs(alike).max()), 1e-9)
        return score


def topics_named(words: str, topics: Collection[str]) -> tuple[int, ...]:
    """Indices of the topics that occur in `words` as whole words, whatever their case."""
    return tuple(
        index
        for index, name in enumerate(topics)
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words, re.IGNORECASE)
    )


def _choices(world: PublicData) -> Floats:
    """(U, n) who chose what in the log, columns of unit length, so that XᵀX is the cosine."""
    chosen = np.zeros((world.log.num_users, len(world.catalog)))
    chosen[world.log.user, world.log.item] = 1.0
    length = np.linalg.norm(chosen, axis=0)
    columns: Floats = chosen / np.maximum(length, 1.0)
    return columns
