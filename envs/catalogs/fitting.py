"""From a real source to a catalog: latents fitted where there is data, drawn where there is not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ..numerics import elementary as exact
from ..numerics import philox
from ..numerics.grid import on_grid
from ..numerics.philox import Purpose
from . import simulated
from .assemble import assemble
from .latents import CatalogData, Latents
from .pictures import principal_components
from .posters import STYLE_DIMENSIONS
from .ratings import FACTORS, Ratings, factorize, interests
from .taste_space import Blocks, Floats, information_split, reflected, shares, standardized, unit

SEED = 100_000
RIDGE = 10.0
STYLE_FROM_TEXT = 0.5
GUESSED_TOPICS = 4


@dataclass(frozen=True, eq=False)
class Source:
    """What a source has; None for what it does not have.

    topics      per item, the names of its topics
    pixels      (n, 64, 64, 3) uint8 real pictures
    ages        (U) of the users in `ratings`
    made_up     columns that are given here but were simulated
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
    made_up: tuple[str, ...] = ()


def fit(source: Source) -> CatalogData:
    """The catalog of a source.

    With ratings: z_text is the ridge fit of the items' rating factors from their text fields,
    z_cf the residual, and tastes are what differs between users (what all share is appeal and
    quality). Without: z_text is a random projection of the bag of words, and z_cf and
    the tastes are drawn. z_image is the principal components of real pictures, else a style
    that follows z_text to the share STYLE_FROM_TEXT.
    """
    n = len(source.item_id)
    rated = source.ratings is not None and len(source.ratings.item) > 0
    year = np.zeros(n, dtype=np.int64) if source.year is None else source.year
    words = _projected_words(source)
    topics, topic = _topics(source, words)
    if rated:
        assert source.ratings is not None
        factors = factorize(source.ratings, source.num_users, n)
        taste, mass = interests(source.ratings, factors)
        taste = unit(taste - (taste * mass[..., None]).sum(axis=(0, 1)) / mass.sum())
        z_text = on_grid(_ridge_fit(_text_features(topic, year), factors.item))
        z_cf = on_grid(factors.item - z_text)
        style_taste = _style(taste.reshape(-1, FACTORS), 4).reshape(*taste.shape[:2], -1)
        tastes: Blocks = (taste, style_taste, taste)
        weights, count, bias = shares(mass), factors.times, standardized(factors.bias)
    else:
        z_text, z_cf = words, simulated.normal_rows(SEED, 3, n, FACTORS)
        tastes = simulated.tastes(SEED, (FACTORS, STYLE_DIMENSIONS, FACTORS))
        weights, count = simulated.weights(SEED), simulated.counts(SEED, n)
        bias = standardized(simulated.normal_rows(SEED, 8, n, 1)[:, 0])
    pixels = source.pixels
    z_image = _style(z_text, 3) if pixels is None else principal_components(pixels)
    z, anchors = information_split((z_text, z_image, z_cf), tastes)

    missing = {
        "topics": source.topics is None,
        "maturity": source.maturity is None,
        "price": source.price is None,
        "sponsored": source.sponsored is None,
        "popularity": not rated,
        "posters": pixels is None,
        "tastes": not rated,
    }
    clickbait = simulated.normal_rows(SEED, 9, n, 1)[:, 0]
    ages = source.ages
    hidden = Latents(
        z=z,
        widths=(FACTORS, STYLE_DIMENSIONS, FACTORS),
        appeal=on_grid(0.5 * standardized(exact.log(1 + count)) + 0.4 * clickbait),
        quality=bias,
        maturity=simulated.maturity(SEED, n) if source.maturity is None else source.maturity,
        sponsored=simulated.sponsored(SEED, n) if source.sponsored is None else source.sponsored,
        anchors=anchors,
        weights=weights,
        ages=simulated.ages(SEED, len(anchors)) if ages is None else ages,
    )
    return assemble(
        name=source.name,
        item_id=tuple(source.item_id),
        title=tuple(source.title),
        description=tuple(source.description or [""] * n),
        topics=topics,
        topic=topic,
        year=year,
        price=simulated.prices(SEED, n) if source.price is None else source.price,
        popularity=count / count.sum(),
        hidden=hidden,
        simulated=tuple(k for k, lacks in missing.items() if lacks or k in source.made_up),
        posters=pixels,
    )


def _topics(source: Source, words: Floats) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """Names (T) and who has them (n, T); at least two topics, guessed from words if none."""
    if source.topics is None:
        names = tuple(f"Topic {k + 1}" for k in range(GUESSED_TOPICS))
        return names, words[:, :GUESSED_TOPICS].argmax(axis=1)[:, None] == np.arange(GUESSED_TOPICS)
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
    equal words weigh alike in every catalog.
    """
    rows = []
    for k, title in enumerate(source.title):
        text = f"{title} {source.description[k] if source.description else ''}".lower()
        topics = source.topics[k] if source.topics is not None else set()
        rows.append(sorted({*re.findall(r"\w+", text), *(f"topic:{name}" for name in topics)}))
    vocabulary = sorted(set().union(*rows))
    keys = np.array([crc32(word.encode()) for word in vocabulary], dtype=np.int64)
    direction = on_grid(philox.normals(SEED, 20, keys, Purpose.CATALOG, FACTORS))
    place = {word: k for k, word in enumerate(vocabulary)}
    sums = [direction[[place[word] for word in row]].sum(axis=0) for row in rows]
    return standardized(np.array(sums).reshape(len(rows), FACTORS))


def _ridge_fit(x: Floats, y: Floats) -> Floats:
    """The part of y (n, k) that a ridge regression on x (n, f) explains."""
    gram = x.T @ x + RIDGE * np.eye(x.shape[1])
    fitted: Floats = x @ np.linalg.solve(gram, x.T @ y)
    return fitted


def _style(factor: Floats, stream: int) -> Floats:
    """(n, 8) visual style, or taste in style, that follows a factor (n, FACTORS).

    A seeded orthonormal map to the share STYLE_FROM_TEXT, seeded noise beyond that.
    """
    axis = simulated.normal_rows(SEED, 2, 1, FACTORS)[0]
    follows = standardized(reflected(factor, axis)[:, :STYLE_DIMENSIONS])
    noise = simulated.normal_rows(SEED, stream + 30, len(factor), STYLE_DIMENSIONS)
    return on_grid(np.sqrt(STYLE_FROM_TEXT) * follows + np.sqrt(1 - STYLE_FROM_TEXT) * noise)
