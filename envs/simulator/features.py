"""Public numeric features: of items, and of the history of what a user enjoyed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...records import NOTHING
from ..catalogs.catalog import Catalog
from ..numerics import elementary
from ..numerics.arrays import Bools, Floats, Ints

Singles = NDArray[np.float32]

HISTORY_DECAY = np.float32(0.9)
"""Factor on the history at each turn."""

ADULT = 18


def item_features(catalog: Catalog) -> Singles:
    """(n, T + 4) float32 item features, every column within [−1, 1].

    Topic shares (each row's sum to 1, or are 0 without a topic); log(1 + popularity over its
    mean); year of release; price; labeled minimum age, 18 being 1. All but the shares are
    scaled from −1, the catalog's minimum, to 1, its maximum; 0 where unknown or constant.
    """
    n = len(catalog)
    features = np.empty((n, len(catalog.topics) + 4), dtype=np.float32)
    count = np.maximum(catalog.topic.sum(axis=1, keepdims=True), 1)
    np.divide(catalog.topic, count, out=features[:, :-4], casting="unsafe")
    known = np.ones(n, dtype=bool)
    features[:, -4] = _scaled(elementary.log(1.0 + n * catalog.popularity), known)
    features[:, -3] = _scaled(catalog.year.astype(np.float64), catalog.year > 0)
    features[:, -2] = _scaled(catalog.price, known)
    label = np.minimum(catalog.maturity, ADULT) * (2.0 / ADULT) - 1.0
    features[:, -1] = np.where(catalog.maturity < 0, 0.0, label)
    return features


def update_history(history: Singles, features: Singles, chosen: Ints, rating: Floats) -> Singles:
    """h ← 0.9 h + rating · f[chosen], (B, f): a decaying summary of what users enjoyed.

    Computed from public events alone; where nothing was chosen it only decays. Within ±10.

    features  (n, f) of `item_features`; chosen: (B) items or NOTHING; rating: (B) in [0, 1]
    """
    earned = np.where(chosen == NOTHING, 0.0, rating).astype(np.float32)
    gained = earned[:, None] * features[np.maximum(chosen, 0)]
    after: Singles = HISTORY_DECAY * history + gained
    return after


def _scaled(values: Floats, known: Bools) -> Floats:
    """Values scaled so that the known ones span −1 to 1; 0 where unknown."""
    seen = values[known]
    if len(seen) == 0 or seen.min() == seen.max():
        return np.zeros(len(values))
    low, high = float(seen.min()), float(seen.max())
    return np.where(known, 2.0 * (values - low) / (high - low) - 1.0, 0.0)
