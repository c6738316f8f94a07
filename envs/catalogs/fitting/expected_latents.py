"""Expected latents given text or pictures: linear probes from public features, cross-fitted.

Reference policies of a single modality know E[z | its features] only; the difference of their
reward to the oracle's is the value of the other modalities.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..catalog import Catalog
from ..latents import CatalogData
from .latent_space import Floats
from .pictures import cell_means
from .simulated_columns import uniform_column

Ints = NDArray[np.int64]

WORDS = 256
MIN_OCCURRENCES = 3
VOCABULARY_SAMPLE = 20_000
PICTURE_CELLS = 8
CHUNK = 2048
FOLDS, SEED = 5, 5
MIN_ITEMS = 30
RIDGES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 1e6)
"""Penalties in units of a feature's variance; the last one leaves the mean alone."""
MIN_VARIANCE = 1e-9
ROUNDING = 2.0**-12
"""Grid that expectations are rounded to, since a solver's last bits differ by machine."""


def text_features(catalog: Catalog, items: Ints | None = None) -> Floats:
    """(n, f) topics, decades and indicators of the commonest words, of `items` or of all."""
    rows = np.arange(len(catalog)) if items is None else items
    column = {word: k for k, word in enumerate(_vocabulary(catalog))}
    has = np.zeros((len(rows), len(column)))
    for row, item in enumerate(rows):
        has[row, [column[word] for word in _words(catalog, int(item)) & column.keys()]] = 1.0
    decade = (catalog.year[rows] // 10)[:, None] == _decades(catalog)
    return np.hstack([catalog.topic[rows].astype(np.float64), decade.astype(np.float64), has])


def image_features(catalog: Catalog, items: Ints | None = None) -> Floats:
    """(n, 192) mean colors in [0, 1] of an 8 × 8 grid over the posters, of `items` or of all."""
    rows = np.arange(len(catalog)) if items is None else items
    chunks = (catalog.posters[rows[k : k + CHUNK]] for k in range(0, len(rows), CHUNK))
    return np.vstack([cell_means(pixels, PICTURE_CELLS) for pixels in chunks])


FEATURES = {"text": text_features, "image": image_features}


@lru_cache(maxsize=8)
def expected_latents(data: CatalogData, modalities: frozenset[str]) -> Floats:
    """(n, d) E[z | modalities] of every item, on the grid; the mean item where there are none.

    modalities  any of "text" and "image"

    Ridge regression from the public features, cross-fitted: each fifth of the items is predicted
    from the others, so that no item's own latent enters its expectation. The penalty with the
    lowest error is chosen separately for text, picture and feedback latents.
    """
    z = data.hidden.z
    if len(z) < MIN_ITEMS:
        return _rounded(np.broadcast_to(z.mean(axis=0), z.shape))
    folds = _folds(len(z))
    gram, cross = _normal_equations(data, modalities, folds)
    square = np.array([(z[folds == fold] ** 2).sum(axis=0) for fold in range(FOLDS)])
    fits = np.array([_fits(gram, cross, ridge) for ridge in RIDGES])
    error = square - 2 * (fits * cross).sum(axis=2) + (fits * (gram @ fits)).sum(axis=2)
    cuts = np.cumsum([0, *data.hidden.widths])
    chosen = np.empty_like(fits[0])
    for start, end in pairwise(cuts):
        best = int(error[:, :, start:end].sum(axis=(1, 2)).argmin())
        chosen[:, :, start:end] = fits[best, :, :, start:end]
    expected = np.empty(z.shape)
    for rows, x in _feature_chunks(data.public, modalities):
        for fold in range(FOLDS):
            mine = folds[rows] == fold
            expected[rows[mine]] = x[mine] @ chosen[fold]
    return _rounded(expected)


def _feature_chunks(catalog: Catalog, modalities: frozenset[str]) -> Iterator[tuple[Ints, Floats]]:
    """Items and their features (·, f), the last one constant 1, in chunks."""
    for start in range(0, len(catalog), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(catalog)))
        seen = [read(catalog, rows) for kind, read in FEATURES.items() if kind in modalities]
        yield rows, np.hstack([*seen, np.ones((len(rows), 1))])


def _folds(n: int) -> Ints:
    """(n) the fold of each item, drawn at random: the items' order may follow a pattern."""
    return (FOLDS * uniform_column(SEED, 0, n)).astype(np.int64)


def _normal_equations(
    data: CatalogData, modalities: frozenset[str], folds: Ints
) -> tuple[Floats, Floats]:
    """Sums of xxᵀ (FOLDS, f, f) and of xzᵀ (FOLDS, f, d), by fold."""
    gram: Floats | float = 0.0
    cross: Floats | float = 0.0
    for rows, x in _feature_chunks(data.public, modalities):
        parts = [folds[rows] == fold for fold in range(FOLDS)]
        gram = gram + np.array([x[part].T @ x[part] for part in parts])
        cross = cross + np.array([x[part].T @ data.hidden.z[rows[part]] for part in parts])
    return np.asarray(gram), np.asarray(cross)


def _fits(gram: Floats, cross: Floats, ridge: float) -> Floats:
    """(FOLDS, f, d) coefficients, each from all folds but one; the constant is not penalized."""
    fits = []
    for fold in range(len(gram)):
        g, c = gram.sum(axis=0) - gram[fold], cross.sum(axis=0) - cross[fold]
        count, means = g[-1, -1], g[-1] / g[-1, -1]
        spread = np.maximum(np.diag(g) / count - means**2, 0.0) + MIN_VARIANCE
        fits.append(np.linalg.solve(g + np.diag(ridge * count * spread), c))
    return np.array(fits)


@lru_cache(maxsize=8)
def _vocabulary(catalog: Catalog) -> tuple[str, ...]:
    """The at most WORDS commonest words of titles and descriptions, without those in all."""
    sample = min(len(catalog), VOCABULARY_SAMPLE)
    counts = Counter(word for item in range(sample) for word in _words(catalog, item))
    common = sorted(counts, key=lambda word: (-counts[word], word))
    return tuple([w for w in common if MIN_OCCURRENCES <= counts[w] < sample][:WORDS])


def _words(catalog: Catalog, item: int) -> set[str]:
    text = f"{catalog.title[item]} {catalog.description[item]}".lower()
    return set(re.findall(r"[\w-]+", text))


def _decades(catalog: Catalog) -> Ints:
    return np.unique(catalog.year // 10)


def _rounded(values: Floats) -> Floats:
    rounded: Floats = np.rint(values / ROUNDING) * ROUNDING
    return rounded
