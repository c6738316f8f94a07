"""Assembly of a catalog: content hash, posters, and the pair of public and hidden half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .catalog import Catalog, Posters
from .hashing import content_hash
from .latents import CatalogData, Latents
from .posters import RenderedPosters


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
    """A catalog with its content hash; without `posters` they are rendered on demand.

    Public labels of maturity and sponsorship equal the hidden ones here; overlays change them.
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
        "posters": RenderedPosters(name, len(item_id)) if posters is None else posters,
        "simulated": simulated,
    }
    digest = data_hash(columns, hidden)
    return CatalogData(Catalog(name=name, hash=digest, **columns), hidden)


def data_hash(columns: dict[str, Any], hidden: Latents) -> str:
    """SHA-256 over the public `columns` and the latents; the catalog's name does not enter."""
    latents = {f"hidden.{field.name}": getattr(hidden, field.name) for field in fields(Latents)}
    return content_hash({**columns, **latents})
