"""What text and pictures tell about taste: features of both, and the expectation they allow.

A *blind* oracle knows E[z | what a modality shows] and no more; how far its slates fall short of
the oracle's is what the other modalities are worth.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .catalog import Catalog
from .latents import CatalogData
from .pictures import cell_means
from .simulated import uniform_column
from .taste_space import Floats

Rows = NDArray[np.int64]

WORDS = 256
LEAST_OCCURRENCES = 3
VOCABULARY_FROM = 20_000
PICTURE_CELLS = 8
AT_ONCE = 2048
FOLDS, SEED = 5, 5
LEAST_ITEMS = 30
RIDGES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 1e6)
"""Penalties in units of a feature's variance; the last leaves only the mean."""
LEAST_SPREAD = 1e-9
COARSE = 2.0**-12
"""Expectations are rounded to this: what a solver's last bits decide would differ by machine."""


def text_features(catalog: Catalog, items: Rows | None = None) -> Floats:
    """(n, f) topics, decades, and which of the commonest words occur, of `items` or of all."""
    rows = np.arange(len(catalog)) if items is None else items
    place = {word: k for k, word in enumerate(_vocabulary(catalog))}
    has = np.zeros((len(rows), len(place)))
    for row, item in enumerate(rows):
        has[row, [place[word] for word in _words(catalog, int(item)) & place.keys()]] = 1.0
    decade = (catalog.year[rows] // 10)[:, None] == _decades(catalog)
    return np.hstack([catalog.topic[rows].astype(np.float64), decade.astype(np.float64), has])


def image_features(catalog: Catalog, items: Rows | None = None) -> Floats:
    """(n, 192) mean colors in [0, 1] of an 8 × 8 grid over the posters, of `items` or of all."""
    rows = np.arange(len(catalog)) if items is None else items
    portions = (catalog.posters[rows[k : k + AT_ONCE]] for k in range(0, len(rows), AT_ONCE))
    return np.vstack([cell_means(pixels, PICTURE_CELLS) for pixels in portions])


FEATURES = {"text": text_features, "image": image_features}


@lru_cache(maxsize=8)
def expected_latents(data: CatalogData, modalities: frozenset[str]) -> Floats:
    """(n, d) E[z | modalities] of every item, on the grid; the mean item where there are none.

    modalities  any of "text" and "image"

    Ridge regression from the public features, cross-fitted: every fifth of the items is foretold
    from the others, so that no item's own latent enters its expectation. The penalty is the one
    that foretells best, for text, picture and feedback latents apart.
    """
    z = data.hidden.z
    if len(z) < LEAST_ITEMS:
        return _coarse(np.broadcast_to(z.mean(axis=0), z.shape))
    folds = _folds(len(z))
    gram, cross = _moments(data, modalities, folds)
    square = np.array([(z[folds == fold] ** 2).sum(axis=0) for fold in range(FOLDS)])
    fits = np.array([_fits(gram, cross, ridge) for ridge in RIDGES])
    error = square - 2 * (fits * cross).sum(axis=2) + (fits * (gram @ fits)).sum(axis=2)
    cuts = np.cumsum([0, *data.hidden.widths])
    chosen = np.empty_like(fits[0])
    for start, end in pairwise(cuts):
        best = int(error[:, :, start:end].sum(axis=(1, 2)).argmin())
        chosen[:, :, start:end] = fits[best, :, :, start:end]
    expected = np.empty(z.shape)
    for rows, x in _portions(data.public, modalities):
        for fold in range(FOLDS):
            mine = folds[rows] == fold
            expected[rows[mine]] = x[mine] @ chosen[fold]
    return _coarse(expected)


def _portions(catalog: Catalog, modalities: frozenset[str]) -> Iterator[tuple[Rows, Floats]]:
    """Items and their features (·, f), the last one constant 1, some at a time."""
    for start in range(0, len(catalog), AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, len(catalog)))
        seen = [read(catalog, rows) for kind, read in FEATURES.items() if kind in modalities]
        yield rows, np.hstack([*seen, np.ones((len(rows), 1))])


def _folds(n: int) -> Rows:
    """(n) the fold of each item, drawn: titles may follow any pattern in the items' order."""
    return (FOLDS * uniform_column(SEED, 0, n)).astype(np.int64)


def _moments(data: CatalogData, modalities: frozenset[str], folds: Rows) -> tuple[Floats, Floats]:
    """Per fold the sums of xxᵀ (FOLDS, f, f) and of xzᵀ (FOLDS, f, d)."""
    gram: Floats | float = 0.0
    cross: Floats | float = 0.0
    for rows, x in _portions(data.public, modalities):
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
        spread = np.maximum(np.diag(g) / count - means**2, 0.0) + LEAST_SPREAD
        fits.append(np.linalg.solve(g + np.diag(ridge * count * spread), c))
    return np.array(fits)


@lru_cache(maxsize=8)
def _vocabulary(catalog: Catalog) -> tuple[str, ...]:
    """At most WORDS words, those in most titles and descriptions but not in all."""
    sample = min(len(catalog), VOCABULARY_FROM)
    counts = Counter(word for item in range(sample) for word in _words(catalog, item))
    common = sorted(counts, key=lambda word: (-counts[word], word))
    return tuple([w for w in common if LEAST_OCCURRENCES <= counts[w] < sample][:WORDS])


def _words(catalog: Catalog, item: int) -> set[str]:
    text = f"{catalog.title[item]} {catalog.description[item]}".lower()
    return set(re.findall(r"[\w-]+", text))


def _decades(catalog: Catalog) -> Rows:
    return np.unique(catalog.year // 10)


def _coarse(values: Floats) -> Floats:
    rounded: Floats = np.rint(values / COARSE) * COARSE
    return rounded
