"""Public item features for linear models: topics, decade, popularity, rating, poster colors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..envs.catalogs.catalog import Catalog, Posters
from ..envs.catalogs.public import TrainingLog
from .ranking import choice_counts

Floats = NDArray[np.float64]

POSTER_GRID = 4
POSTER_CHUNK = 512
RATING_SHRINKAGE = 5.0


def item_features(catalog: Catalog, log: TrainingLog) -> Floats:
    """(n, d) standardized columns, the last one constant 1.

    Topics; decade of release, one column each; log(1 + number of choices); mean rating in the log,
    shrunk towards the mean of all; and the mean colors of a 4 × 4 grid over the poster.
    """
    count = choice_counts(log, len(catalog))
    columns = np.hstack(
        [
            catalog.topic.astype(np.float64),
            decades(catalog.year),
            np.log1p(count)[:, None],
            mean_rating(log, count)[:, None],
            poster_colors(catalog.posters, POSTER_GRID),
        ]
    )
    varies = columns.std(axis=0) > 1e-9
    columns = columns[:, varies]
    standardized = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    return np.hstack([standardized, np.ones((len(catalog), 1))])


def decades(year: NDArray[np.int64]) -> Floats:
    """(n, D) one column per decade that occurs; a row of zeros where the year is unknown."""
    decade = year // 10
    present = np.unique(decade[year > 0])
    columns: Floats = (decade[:, None] == present).astype(np.float64)
    return columns


def mean_rating(log: TrainingLog, count: NDArray[np.int64]) -> Floats:
    """(n) mean rating of each item, shrunk by RATING_SHRINKAGE ratings of the overall mean."""
    overall = float(log.rating.mean()) if len(log) else 0.0
    total = np.bincount(log.item, weights=log.rating, minlength=len(count))
    mean: Floats = (total + RATING_SHRINKAGE * overall) / (count + RATING_SHRINKAGE)
    return mean


def poster_colors(posters: Posters, grid: int) -> Floats:
    """(n, grid · grid · 3) mean RGB in [0, 1] of each cell of a grid over square posters.

    Works in chunks, so that posters of large catalogs are not all in memory.
    """
    starts = range(0, len(posters), POSTER_CHUNK)
    return np.vstack([_cell_colors(posters[k : k + POSTER_CHUNK], grid) for k in starts])


def _cell_colors(pixels: NDArray[np.uint8], grid: int) -> Floats:
    n, side = len(pixels), pixels.shape[1]
    cut = side // grid * grid
    cells = pixels[:, :cut, :cut].reshape(n, grid, side // grid, grid, side // grid, 3)
    means: Floats = cells.mean(axis=(2, 4), dtype=np.float64).reshape(n, -1) / 255
    return means
