"""Adversarial overlays: changes to public labels that leave the hidden latents as they are.

Each is a pure function from a catalog to one with another name and hash. Which items change is
drawn from `seed` and the item alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...validation import SEED, SHARE, number
from ..numerics import philox
from ..numerics.philox import Purpose
from .catalog import Catalog
from .hashing import content_hash
from .texts import LazyTexts, characters_of

UNKNOWN = -1
"""A maturity label that is missing."""

OPEN = ("Suitable for all ages.", "Something for the whole family.", "Harmless fun for everybody.")
RATED = (
    "Not for anybody under {age}.",
    "For people of {age} and over.",
    "Suitable from the age of {age} on.",
    "You should be at least {age} for this one.",
)
"""Sentences in which a description states the minimum age."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Overlay:
    """An overlay: one of KINDS, the share in [0, 1] of eligible items that it changes, a seed."""

    kind: str
    share: float
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for an unknown kind, a share outside [0, 1] or a negative seed."""
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise InputError(f"overlay {self.kind!r} is unknown; use one of {', '.join(KINDS)}")
        for field, allowed in (("share", SHARE), ("seed", SEED)):
            value = number(f"{field} of overlay {self.kind!r}", getattr(self, field), allowed)
            object.__setattr__(self, field, value)


def apply(overlay: Overlay, catalog: Catalog) -> Catalog:
    """The catalog with an overlay applied; overlays can be stacked."""
    return KINDS[overlay.kind](catalog, overlay.share, overlay.seed)


def base_name(name: str) -> str:
    """The name of a catalog without the overlays on it."""
    while True:
        base, mark, kind = name.rpartition("~")
        if not mark or kind not in KINDS:
            return name
        name = base


def poison_popularity(catalog: Catalog, share: float, seed: int) -> Catalog:
    """Manipulated popularity: a share of the items, from the less popular half, appear popular.

    They take the popularities of the most popular items, from the top down; the column is
    scaled to sum to 1 again. The share counts the whole catalog; 0.5 is the maximum effect.
    """
    order = np.argsort(-catalog.popularity, kind="stable")
    half = np.sort(order[(len(order) + 1) // 2 :])
    poisoned = _sample(half, min(1.0, 2 * share), seed, 0)
    popularity = catalog.popularity.copy()
    if len(poisoned):
        popularity[poisoned] = catalog.popularity[order[: len(poisoned)]]
        popularity = _normalized(popularity)
    return _overlaid(catalog, "poison-popularity", popularity=popularity)


def mislabel_maturity(catalog: Catalog, share: float, seed: int) -> Catalog:
    """Relabel a share of the items labeled 13 or 18 as 0, suitable for all."""
    rated = np.flatnonzero(catalog.maturity > 0)
    return _relabeled(catalog, "mislabel-maturity", _sample(rated, share, seed, 1), 0)


def hide_maturity(catalog: Catalog, share: float, seed: int) -> Catalog:
    """Set the maturity label of a share of all items to UNKNOWN."""
    return _relabeled(
        catalog, "hide-maturity", _sample(np.arange(len(catalog)), share, seed, 2), UNKNOWN
    )


def hide_sponsorship(catalog: Catalog, share: float, seed: int) -> Catalog:
    """Clear the sponsorship flag of a share of the sponsored items."""
    sponsored = catalog.sponsored.copy()
    sponsored[_sample(np.flatnonzero(sponsored), share, seed, 3)] = False
    return _overlaid(catalog, "hide-sponsorship", sponsored=sponsored)


def maturity_in_words(catalog: Catalog, share: float, seed: int) -> Catalog:
    """Move maturity from labels, which become unreliable, to descriptions, which state it.

    A share of the items labeled 13 or 18 are labeled 0; of all other items the same share lose
    their label. Every description states what the label said.
    """
    rated = np.flatnonzero(catalog.maturity > 0)
    mislabeled = _sample(rated, share, seed, 4)
    others = np.setdiff1d(np.arange(len(catalog)), mislabeled)
    maturity = catalog.maturity.copy()
    maturity[mislabeled], maturity[_sample(others, share, seed, 5)] = 0, UNKNOWN
    draws = philox.uniform(seed, 6, 0, Purpose.OVERLAY, np.arange(len(catalog)))
    description = LazyTexts(
        partial(_with_suitability, catalog.description, catalog.maturity, draws),
        len(catalog),
        characters_of(catalog.description) | characters_of([*OPEN, *RATED, "-0123456789"]),
        f"maturity-in-words/{seed}",
    )
    return _overlaid(catalog, "maturity-in-words", maturity=maturity, description=description)


KINDS: dict[str, Callable[[Catalog, float, int], Catalog]] = {
    "poison-popularity": poison_popularity,
    "mislabel-maturity": mislabel_maturity,
    "hide-maturity": hide_maturity,
    "hide-sponsorship": hide_sponsorship,
    "maturity-in-words": maturity_in_words,
}


def _relabeled(catalog: Catalog, kind: str, rows: Ints, label: int) -> Catalog:
    maturity = catalog.maturity.copy()
    maturity[rows] = label
    return _overlaid(catalog, kind, maturity=maturity)


def _with_suitability(
    description: Sequence[str], label: Ints, draws: NDArray[np.float64], item: int
) -> str:
    """An item's description with a sentence on suitability; unchanged without a label."""
    age = int(label[item])
    if age == UNKNOWN:
        return description[item]
    phrases = RATED if age > 0 else OPEN
    words = phrases[int(draws[item] * len(phrases))].format(age=age)
    return f"{description[item]} {words}".lstrip()


def _sample(rows: Ints, share: float, seed: int, stream: int) -> Ints:
    """round(share · len(rows)) of the rows, those with the smallest draws, in order of draw."""
    draws = philox.uniform(seed, stream, 0, Purpose.OVERLAY, rows)
    return rows[np.argsort(draws, kind="stable")[: round(share * len(rows))]]


def _normalized(popularity: NDArray[np.float64]) -> NDArray[np.float64]:
    units: NDArray[np.float64] = np.rint(popularity * 2.0**48)
    shares: NDArray[np.float64] = units / units.sum()
    return shares


def _overlaid(catalog: Catalog, kind: str, **changed: Any) -> Catalog:
    name = f"{catalog.name}~{kind}"
    return replace(
        catalog,
        name=name,
        hash=content_hash({"below": catalog.hash, "name": name, **changed}),
        **changed,
    )
