"""Public numbers for learners: what anyone sees of an item, and what a user lately enjoyed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...records import NOTHING
from ..catalogs.catalog import Catalog
from ..numerics import elementary as exact
from .choice import Floats, Ints

Singles = NDArray[np.float32]

KEPT = np.float32(0.9)
"""Share of a history that survives a turn."""

ADULT = 18


def item_features(catalog: Catalog) -> Singles:
    """(n, T + 4) float32, every column within [−1, 1], in few bytes even for a million items.

    Topic shares (each row's sum to 1, or are 0 without a topic); log(1 + popularity over its
    mean); year of release; price; labeled minimum age, 18 being 1. All but the shares run from
    the least in the catalog, −1, to the most, 1; what is unknown or the same everywhere is 0.
    """
    n = len(catalog)
    features = np.empty((n, len(catalog.topics) + 4), dtype=np.float32)
    count = np.maximum(catalog.topic.sum(axis=1, keepdims=True), 1)
    np.divide(catalog.topic, count, out=features[:, :-4], casting="unsafe")
    known = np.ones(n, dtype=bool)
    features[:, -4] = _spread(exact.log(1.0 + n * catalog.popularity), known)
    features[:, -3] = _spread(catalog.year.astype(np.float64), catalog.year > 0)
    features[:, -2] = _spread(catalog.price, known)
    label = np.minimum(catalog.maturity, ADULT) * (2.0 / ADULT) - 1.0
    features[:, -1] = np.where(catalog.maturity < 0, 0.0, label)
    return features


def update_history(history: Singles, features: Singles, chosen: Ints, rating: Floats) -> Singles:
    """h ← 0.9 h + rating · f[chosen], (B, f): a running summary of what users enjoyed.

    Made of public events alone; where nothing was chosen it only fades. It stays within ±10.

    features  (n, f) of `item_features`; chosen: (B) items or NOTHING; rating: (B) in [0, 1]
    """
    earned = np.where(chosen == NOTHING, 0.0, rating).astype(np.float32)
    gained = earned[:, None] * features[np.maximum(chosen, 0)]
    after: Singles = KEPT * history + gained
    return after


def _spread(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Values from −1, the least known one, to 1, the most; 0 where unknown."""
    seen = values[known]
    if len(seen) == 0 or seen.min() == seen.max():
        return np.zeros(len(values))
    low, high = float(seen.min()), float(seen.max())
    return np.where(known, 2.0 * (values - low) / (high - low) - 1.0, 0.0)
