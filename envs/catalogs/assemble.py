"""Assembly of a catalog: content hash, posters, and the pair of public and hidden half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .catalog import Catalog, Posters
from .hashing import content_hash
from .latents import CatalogData, Latents
from .posters import RenderedPosters


@dataclass(frozen=True, eq=False)
class ItemColumns:
    """Public columns of n items, as in `Catalog`, without those copied from the latents.

    posters  None for pictures rendered on demand
    """

    item_id: Sequence[str]
    title: Sequence[str]
    description: Sequence[str]
    topics: tuple[str, ...]
    topic: NDArray[np.bool_]
    year: NDArray[np.int64]
    price: NDArray[np.float64]
    popularity: NDArray[np.float64]
    simulated: tuple[str, ...]
    posters: Posters | None = None


def assemble(name: str, items: ItemColumns, hidden: Latents) -> CatalogData:
    """The catalog called `name` with its content hash.

    Public labels of maturity and sponsorship equal the hidden ones here; overlays change them.
    """
    columns = {field.name: getattr(items, field.name) for field in fields(ItemColumns)}
    columns["maturity"] = hidden.maturity.copy()
    columns["sponsored"] = hidden.sponsored.copy()
    if items.posters is None:
        columns["posters"] = RenderedPosters(name, len(items.item_id))
    digest = data_hash(columns, hidden)
    return CatalogData(Catalog(name=name, hash=digest, **columns), hidden)


def data_hash(columns: dict[str, Any], hidden: Latents) -> str:
    """SHA-256 over the public `columns` and the latents; the catalog's name does not enter."""
    latents = {f"hidden.{field.name}": getattr(hidden, field.name) for field in fields(Latents)}
    return content_hash({**columns, **latents})
