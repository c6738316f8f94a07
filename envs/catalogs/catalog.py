"""Public half of a catalog: everything about the items that agents may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .texts import characters_of


class Posters(Protocol):
    """Pictures of n items, indexed as an array (n, 64, 64, 3) of uint8 RGB is indexed."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, eq=False)
class Catalog:
    """n items as columns; item indices 0 … n−1 are what slates hold.

    name         registry name, or the path of a folder
    hash         SHA-256 over the content of this catalog and of its hidden latents
    item_id      (n) identifiers in the source
    title        (n) titles, without the year
    description  (n) one line of text; may be empty
    topics       (T) topic names
    topic        (n, T) bool, which topics an item has
    year         (n) release year, 0 where unknown
    maturity     (n) labeled age in years from which an item is suitable: 0, 13, 18; −1 unknown
    price        (n) in units of account
    sponsored    (n) bool, disclosed as paid for
    popularity   (n) share of all interactions in the source; sums to 1
    posters      (n, 64, 64, 3) uint8 RGB; rendered when they are indexed
    simulated    names of columns that the source lacks and that were simulated
    """

    name: str
    hash: str
    item_id: Sequence[str]
    title: Sequence[str]
    description: Sequence[str]
    topics: tuple[str, ...]
    topic: NDArray[np.bool_]
    year: NDArray[np.int64]
    maturity: NDArray[np.int64]
    price: NDArray[np.float64]
    sponsored: NDArray[np.bool_]
    popularity: NDArray[np.float64]
    posters: Posters
    simulated: tuple[str, ...]

    def __post_init__(self) -> None:
        """Make the columns read-only, since all agents and environments share them."""
        freeze(self)

    def __len__(self) -> int:
        return len(self.item_id)

    def __deepcopy__(self, memo: dict[int, Any]) -> Catalog:
        """Itself, since it is immutable."""
        return self

    def label(self, item: int) -> str:
        """Title and year as people write them, such as ``Toy Story (1995)``."""
        year = int(self.year[item])
        return f"{self.title[item]} ({year})" if year else self.title[item]

    def topics_of(self, item: int) -> tuple[str, ...]:
        """The topic names of one item, in catalog order."""
        return tuple(name for name, has in zip(self.topics, self.topic[item], strict=True) if has)

    def characters(self) -> frozenset[str]:
        """Every character of the titles, descriptions and topics."""
        return characters_of(self.topics).union(
            characters_of(self.title), characters_of(self.description)
        )


def freeze(record: Any) -> None:
    """Make a dataclass's arrays, and the arrays they are views of, read-only; lists to tuples."""
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, list):
            object.__setattr__(record, field.name, tuple(value))
        while isinstance(value, np.ndarray):
            value.setflags(write=False)
            value = value.base
