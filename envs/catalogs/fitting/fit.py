"""Fit a catalog to a source: latents estimated where there is data, simulated elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ...numerics import elementary, philox
from ...numerics.grid import on_grid
from ...numerics.philox import Purpose
from ..assemble import ItemColumns, assemble
from ..latents import CatalogData, Latents
from ..poster_format import STYLE_DIMENSIONS
from . import simulated_columns as simulated
from .latent_space import (
    Blocks,
    Floats,
    combine_blocks,
    normalized_weights,
    reflect,
    standardize,
    unit_rows,
)
from .pictures import principal_components
from .ratings import FACTORS, Ratings, factorize, interests

SEED = 100_000
RIDGE = 10.0
STYLE_TEXT_SHARE = 0.5
SUBSTITUTE_TOPICS = 4


@dataclass(frozen=True, eq=False)
class Source:
    """Columns of a source; None for those that it lacks.

    topics      per item, the names of its topics
    pixels      (n, 64, 64, 3) uint8 real pictures
    ages        (U) of the users in `ratings`
    simulated   columns that are given here but were simulated
    """

    name: str
    item_id: Sequence[str]
    title: Sequence[str]
    description: Sequence[str] | None = None
    topics: Sequence[set[str]] | None = None
    year: NDArray[np.int64] | None = None
    maturity: NDArray[np.int64] | None = None
    price: Floats | None = None
    sponsored: NDArray[np.bool_] | None = None
    pixels: NDArray[np.uint8] | None = None
    ratings: Ratings | None = None
    num_users: int = 0
    ages: NDArray[np.int64] | None = None
    simulated: tuple[str, ...] = ()


def fit(source: Source) -> CatalogData:
    """The catalog of a source.

    With ratings, z_text is the ridge fit of the items' rating factors from their text fields,
    z_cf the residual, and interests are centered over users (what they share is appeal and
    quality). Without, z_text is a random projection of the bag of words, and z_cf and the
    interests are simulated. z_image is the principal components of real pictures, else a style
    of whose variance z_text explains the share STYLE_TEXT_SHARE.
    """
    n = len(source.item_id)
    rated = source.ratings is not None and len(source.ratings.item) > 0
    year = np.zeros(n, dtype=np.int64) if source.year is None else source.year
    words = _projected_words(source)
    topics, topic = _topics(source, words)
    if rated:
        assert source.ratings is not None
        parts = _estimate(source.ratings, source.num_users, _text_features(topic, year))
    else:
        parts = _simulate(words)
    pixels, count = source.pixels, parts.num_interactions
    z_image = _style(parts.z_text, 3) if pixels is None else principal_components(pixels)
    z, anchors = combine_blocks((parts.z_text, z_image, parts.z_cf), parts.interests)
    clickbait = simulated.normal_rows(SEED, 9, n, 1)[:, 0]
    hidden = Latents(
        z=z,
        widths=(FACTORS, STYLE_DIMENSIONS, FACTORS),
        appeal=on_grid(0.5 * standardize(elementary.log(1 + count)) + 0.4 * clickbait),
        quality=parts.quality,
        maturity=simulated.maturity(SEED, n) if source.maturity is None else source.maturity,
        sponsored=simulated.sponsored(SEED, n) if source.sponsored is None else source.sponsored,
        anchors=anchors,
        weights=parts.weights,
        ages=simulated.ages(SEED, len(anchors)) if source.ages is None else source.ages,
    )
    items = ItemColumns(
        item_id=tuple(source.item_id),
        title=tuple(source.title),
        description=tuple(source.description or [""] * n),
        topics=topics,
        topic=topic,
        year=year,
        price=simulated.prices(SEED, n) if source.price is None else source.price,
        popularity=count / count.sum(),
        simulated=_simulated_columns(source, rated),
        posters=pixels,
    )
    return assemble(source.name, items, hidden)


class _Parts(NamedTuple):
    """Latents before they are combined: item blocks, interests (three blocks) and weights.

    num_interactions  (n) interactions of each item
    quality           (n) as in `Latents`
    """

    z_text: Floats
    z_cf: Floats
    interests: Blocks
    weights: Floats
    num_interactions: Floats
    quality: Floats


def _estimate(ratings: Ratings, num_users: int, text_features: Floats) -> _Parts:
    """Latents estimated from ratings and text features (n, f)."""
    factors = factorize(ratings, num_users, len(text_features))
    taste, mass = interests(ratings, factors)
    taste = unit_rows(taste - (taste * mass[..., None]).sum(axis=(0, 1)) / mass.sum())
    style_taste = _style(taste.reshape(-1, FACTORS), 4).reshape(*taste.shape[:2], -1)
    z_text = on_grid(_ridge_fit(text_features, factors.item))
    return _Parts(
        z_text=z_text,
        z_cf=on_grid(factors.item - z_text),
        interests=(taste, style_taste, taste),
        weights=normalized_weights(mass),
        num_interactions=factors.times,
        quality=standardize(factors.bias),
    )


def _simulate(words: Floats) -> _Parts:
    """Simulated latents, but for z_text, which is the projection of the words (n, FACTORS)."""
    n = len(words)
    return _Parts(
        z_text=words,
        z_cf=simulated.normal_rows(SEED, 3, n, FACTORS),
        interests=simulated.interests(SEED, (FACTORS, STYLE_DIMENSIONS, FACTORS)),
        weights=simulated.interest_weights(SEED),
        num_interactions=simulated.interaction_counts(SEED, n),
        quality=standardize(simulated.normal_rows(SEED, 8, n, 1)[:, 0]),
    )


def _simulated_columns(source: Source, rated: bool) -> tuple[str, ...]:
    missing = {
        "topics": source.topics is None,
        "maturity": source.maturity is None,
        "price": source.price is None,
        "sponsored": source.sponsored is None,
        "popularity": not rated,
        "posters": source.pixels is None,
        "tastes": not rated,
    }
    return tuple(name for name, lacks in missing.items() if lacks or name in source.simulated)


def _topics(source: Source, words: Floats) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """Topic names (T) and their table (n, T); at least two, derived from words if none."""
    if source.topics is None:
        names = tuple(f"Topic {k + 1}" for k in range(SUBSTITUTE_TOPICS))
        return names, words[:, :SUBSTITUTE_TOPICS].argmax(axis=1)[:, None] == np.arange(
            SUBSTITUTE_TOPICS
        )
    named = sorted(set().union(*source.topics))
    sets = [has or {"Other"} for has in source.topics] if len(named) < 2 else source.topics
    names = tuple(sorted({*named, "Other"} if len(named) < 2 else named))
    return names, np.array([[name in has for name in names] for has in sets])


def _text_features(topic: NDArray[np.bool_], year: NDArray[np.int64]) -> Floats:
    """(n, T + decades + 1): topics, decade, and a constant."""
    decade = np.clip(year // 10 * 10, 1920, 2020)
    columns = [topic, decade[:, None] == np.unique(decade), np.ones((len(year), 1))]
    return np.hstack([np.asarray(c, dtype=float) for c in columns])


def _projected_words(source: Source) -> Floats:
    """(n, FACTORS) standardized random projection of the words of title, description and topics.

    A word's direction is keyed by its CRC-32 (feature hashing, Weinberger et al. 2009), so that
    a word has the same direction in every catalog.
    """
    rows = []
    for k, title in enumerate(source.title):
        text = f"{title} {source.description[k] if source.description else ''}".lower()
        topics = source.topics[k] if source.topics is not None else set()
        rows.append(sorted({*re.findall(r"\w+", text), *(f"topic:{name}" for name in topics)}))
    vocabulary = sorted(set().union(*rows))
    keys = np.array([crc32(word.encode()) for word in vocabulary], dtype=np.int64)
    direction = on_grid(philox.normals(SEED, 20, keys, Purpose.CATALOG, FACTORS))
    column = {word: k for k, word in enumerate(vocabulary)}
    sums = [direction[[column[word] for word in row]].sum(axis=0) for row in rows]
    return standardize(np.array(sums).reshape(len(rows), FACTORS))


def _ridge_fit(x: Floats, y: Floats) -> Floats:
    """The part of y (n, k) that a ridge regression on x (n, f) explains."""
    gram = x.T @ x + RIDGE * np.eye(x.shape[1])
    fitted: Floats = x @ np.linalg.solve(gram, x.T @ y)
    return fitted


def _style(factor: Floats, stream: int) -> Floats:
    """(n, 8) visual style, or interest in style, correlated with a factor (n, FACTORS).

    A seeded orthonormal map has the share STYLE_TEXT_SHARE of its variance, noise the rest.
    """
    axis = simulated.normal_rows(SEED, 2, 1, FACTORS)[0]
    follows = standardize(reflect(factor, axis)[:, :STYLE_DIMENSIONS])
    noise = simulated.normal_rows(SEED, stream + 30, len(factor), STYLE_DIMENSIONS)
    return on_grid(np.sqrt(STYLE_TEXT_SHARE) * follows + np.sqrt(1 - STYLE_TEXT_SHARE) * noise)
