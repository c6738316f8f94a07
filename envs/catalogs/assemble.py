"""The last steps that every catalog builder shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..grid import on_grid
from ..latents import CatalogData, Latents
from .catalog import Catalog
from .hashing import content_hash
from .posters import render

Blocks = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

INFORMATION = (0.5, 0.2, 0.3)
"""Shares of the taste variance carried by text, picture and feedback-only latents."""


def standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zero mean and unit standard deviation along the first axis."""
    spread = np.maximum(values.std(axis=0), 1e-12)
    scaled: NDArray[np.float64] = (values - values.mean(axis=0)) / spread
    return scaled


def information_split(
    items: Blocks, users: Blocks
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Join text, picture and feedback blocks into z (n, d) and anchors (U, d), on the grid.

    Each block is centred and scaled so that its scores ⟨u, z⟩ carry its share of INFORMATION;
    then z is scaled to norm ≤ 1 and every anchor to norm 1.
    """
    scaled, tastes = [], []
    for z, u, share in zip(items, users, INFORMATION, strict=True):
        taste = u / np.maximum(np.linalg.norm(u, axis=1, keepdims=True), 1e-12)
        centred = z - z.mean(axis=0)
        scaled.append(centred * np.sqrt(share) / (taste @ centred.T).std())
        tastes.append(taste)
    z, anchors = np.hstack(scaled), np.hstack(tastes)
    z /= np.linalg.norm(z, axis=1).max()
    anchors /= np.linalg.norm(anchors, axis=1, keepdims=True)
    return on_grid(z), on_grid(anchors)


def assemble(
    *,
    name: str,
    item_id: tuple[str, ...],
    title: tuple[str, ...],
    description: tuple[str, ...],
    topics: tuple[str, ...],
    topic: NDArray[np.bool_],
    year: NDArray[np.int64],
    maturity: NDArray[np.int64],
    price: NDArray[np.float64],
    popularity: NDArray[np.float64],
    style: NDArray[np.float64],
    hidden: Latents,
    simulated: tuple[str, ...],
) -> CatalogData:
    """Draw the posters from `style` (n, 8), hash everything, and pair public with hidden."""
    columns: dict[str, Any] = {
        "item_id": item_id,
        "title": title,
        "description": description,
        "topics": topics,
        "topic": topic,
        "year": year,
        "maturity": maturity,
        "price": price,
        "sponsored": np.zeros(len(item_id), dtype=bool),
        "popularity": popularity,
        "posters": render(standardised(style)),
        "simulated": simulated,
    }
    secret = {key: getattr(hidden, key) for key in ("z", "appeal", "quality", "anchors", "ages")}
    digest = content_hash({"name": name, **columns, **secret})
    return CatalogData(Catalog(name=name, hash=digest, **columns), hidden)
