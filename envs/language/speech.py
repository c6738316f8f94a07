"""A user's words before each slate: a request, or a reaction to what was shown last."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...records import NOTHING
from .. import philox
from ..catalogs.catalog import Catalog
from ..choice import Floats
from ..philox import Purpose

LONGEST = 320
"""Characters in the longest utterance; anything beyond is cut."""

REQUESTS = (
    "I feel like {first} today, maybe {second}.",
    "Something with {first} would be nice, or {second}.",
    "Do you have any good {first}? I also like {second}.",
    "I am in the mood for {first}; {second} would do as well.",
)
LOVED = (
    "I loved {title}. More like that, please.",
    "{title} was wonderful. Keep going in that direction.",
)
LIKED = ("{title} was all right.", "{title} was decent. What else is there?")
DISLIKED = (
    "{title} was a disappointment. Something different, please.",
    "I did not enjoy {title}. Let us try something else.",
)
REFUSED = ("None of these, thank you.", "Nothing here for me. What else do you have?")


def topic_centroids(catalog: Catalog, z: Floats) -> Floats:
    """(T, d) mean latent of each topic's items, minus the mean of all items."""
    members = catalog.topic.astype(float)
    means: Floats = (members.T @ z) / np.maximum(members.sum(axis=0), 1)[:, None]
    centred: Floats = means - z.mean(axis=0)
    return centred


def request(
    catalog: Catalog, centroids: Floats, taste: Floats, address: tuple[int, int, int]
) -> str:
    """Opens a session by naming the two topics nearest to the taste (d).

    address  (seed, user, turn of life) of the phrasing
    """
    liking: NDArray[np.float64] = centroids @ taste
    first, second = np.argsort(-liking, kind="stable")[[0, min(1, len(liking) - 1)]]
    return _cut(
        _phrase(REQUESTS, address).format(
            first=catalog.topics[first].lower(), second=catalog.topics[second].lower()
        )
    )


def reaction(catalog: Catalog, chosen: int, rating: float, address: tuple[int, int, int]) -> str:
    """Comments on the item chosen a turn ago and its enjoyment in [0, 1], or on choosing none."""
    if chosen == NOTHING:
        return _phrase(REFUSED, address)
    phrases = LOVED if rating > 0.6 else LIKED if rating > 0.3 else DISLIKED
    return _cut(_phrase(phrases, address).format(title=catalog.label(chosen)))


def _phrase(phrases: tuple[str, ...], address: tuple[int, int, int]) -> str:
    draw = float(philox.uniform(*address, Purpose.SPEECH))
    return phrases[int(draw * len(phrases))]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
