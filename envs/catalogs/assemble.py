"""The last steps that every catalog builder shares: draw what is missing, hash, and pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .catalog import Catalog, Posters
from .hashing import content_hash
from .latents import CatalogData, Latents
from .posters import DrawnPosters


def assemble(
    *,
    name: str,
    item_id: Sequence[str],
    title: Sequence[str],
    description: Sequence[str],
    topics: tuple[str, ...],
    topic: NDArray[np.bool_],
    year: NDArray[np.int64],
    price: NDArray[np.float64],
    popularity: NDArray[np.float64],
    hidden: Latents,
    simulated: tuple[str, ...],
    posters: Posters | None = None,
) -> CatalogData:
    """Hash everything and pair public with hidden; without `posters` they are drawn on demand.

    The labels of maturity and sponsorship are the truth here; overlays make them lie.
    """
    columns: dict[str, Any] = {
        "item_id": item_id,
        "title": title,
        "description": description,
        "topics": topics,
        "topic": topic,
        "year": year,
        "maturity": hidden.maturity.copy(),
        "price": price,
        "sponsored": hidden.sponsored.copy(),
        "popularity": popularity,
        "posters": DrawnPosters(name, len(item_id)) if posters is None else posters,
        "simulated": simulated,
    }
    digest = data_hash(columns, hidden)
    return CatalogData(Catalog(name=name, hash=digest, **columns), hidden)


def data_hash(columns: dict[str, Any], hidden: Latents) -> str:
    """The content hash of public `columns` and of all that is hidden; names do not count."""
    secret = {f"hidden.{field.name}": getattr(hidden, field.name) for field in fields(Latents)}
    return content_hash({**columns, **secret})
