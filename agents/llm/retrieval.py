"""Retrieval: scores catalog items for a user and returns the candidates of a prompt."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...envs.catalogs.catalog import Catalog
from ...envs.catalogs.public import PublicData
from ...records import ObservedAgeGroup
from ..ranking import choice_counts

Floats = NDArray[np.float64]

SUITABLE_UP_TO = {"child": 0, "unknown": 0, "teen": 13, "adult": 18}
"""Highest maturity label that may be listed for each age group, safe for its youngest member."""

DIGITS = 9
"""Scores are ranked after rounding, so that the last bits of a BLAS kernel do not matter."""


@dataclass(frozen=True)
class RetrievalWeights:
    """Weights of the terms of the score; every term lies in [0, 1].

    topic       share of the requested topics that an item has
    similarity  cosine similarity of its choices in the log to those of liked items
    popularity  log of the number of its choices in the log
    """

    topic: float = 0.5
    similarity: float = 1.0
    popularity: float = 0.5


class Retrieval:
    """Ranks a catalog by requested topics, similarity to liked items, and popularity."""

    def __init__(self, public: PublicData, weights: RetrievalWeights) -> None:
        self.catalog: Catalog = public.catalog
        self.weights = weights
        count = np.log1p(choice_counts(public.log, len(public.catalog)))
        self._popularity: Floats = count / max(float(count.max()), 1.0)
        self._columns = _choice_vectors(public)
        self._topic = public.catalog.topic.astype(np.float64)

    def shortlist(
        self,
        size: int,
        topics: Collection[int],
        liked: Mapping[int, float],
        age_group: ObservedAgeGroup,
        exclude: Collection[int] = (),
    ) -> tuple[int, ...]:
        """At most `size` item indices, the best first, none above the limit of the age group.

        Items without a maturity label are listed for adults only.

        topics   requested topic indices
        liked    item -> strength; negative where it was disliked
        exclude  items listed only where no others are left
        """
        score = self.scores(topics, liked)
        score[list(exclude)] -= 1e3
        label = self.catalog.maturity
        labeled = (label >= 0) | (age_group == "adult")
        suitable = np.flatnonzero(labeled & (label <= SUITABLE_UP_TO[age_group]))
        order = np.argsort(-np.round(score[suitable], DIGITS), kind="stable")
        return tuple(suitable[order[:size]].tolist())

    def scores(self, topics: Collection[int], liked: Mapping[int, float]) -> Floats:
        """(n) weighted score of each item."""
        requested, weights = list(topics), self.weights
        score = weights.popularity * self._popularity
        if requested:
            score = score + weights.topic * self._topic[:, requested].mean(axis=1)
        if liked:
            items, strength = list(liked), np.array(list(liked.values()))
            cosine = self._columns.T @ (self._columns[:, items] @ strength)
            largest = max(float(np.abs(cosine).max()), 1e-9)
            score = score + weights.similarity * cosine / largest
        return score


def find_topics(words: str, topics: Collection[str]) -> tuple[int, ...]:
    """Indices of the topics that occur in `words` as whole words, whatever their case."""
    return tuple(
        index
        for index, name in enumerate(topics)
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words, re.IGNORECASE)
    )


def _choice_vectors(public: PublicData) -> Floats:
    """(U, n) choices in the log with columns of unit length, so that XᵀX holds cosines."""
    chosen = np.zeros((public.log.num_users, len(public.catalog)))
    chosen[public.log.user, public.log.item] = 1.0
    length = np.linalg.norm(chosen, axis=0)
    columns: Floats = chosen / np.maximum(length, 1.0)
    return columns
