"""movielens-100k: real titles, genres, years, ages and ratings (Harper & Konstan 2015).

Read from the atomic files inside the recbole distribution, without importing it. Users and
items get latents from a truncated SVD of the real ratings; what the files do not have
(maturity, price, posters) is simulated and says so in `Catalog.simulated`.
"""

from __future__ import annotations

import csv
import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from ...errors import InputError
from .. import philox
from ..grid import on_grid
from ..latents import CatalogData, Latents
from ..philox import Purpose
from .assemble import assemble, information_split, standardised
from .posters import STYLE_DIMENSIONS

FACTORS = 12
RIDGE = 10.0
BIAS_SHRINKAGE = 10.0
STYLE_FROM_TEXT = 0.5
SEED = 100_000
ADULT_GENRES = {"Horror": 0.7, "Film-Noir": 0.4, "Crime": 0.5, "Thriller": 0.35, "War": 0.3}
TEEN_GENRES = {"Action", "Thriller", "Drama", "Romance", "Sci-Fi", "War", "Crime", "Horror"}
FAMILY_GENRES = {"Animation", "Children's", "Musical"}


class Ratings(NamedTuple):
    """m ratings as parallel columns: user row, item index, stars in 1 … 5."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    stars: NDArray[np.float64]


def build() -> CatalogData:
    """1,682 films and 943 people of ML-100K, with tastes fitted to their ratings.

    A second or two of work; raises InputError where recbole, whose files it reads, is missing.
    """
    folder = _folder()
    items = _rows(folder / "ml-100k.item")
    users = _rows(folder / "ml-100k.user")
    ratings = _ratings(folder, [row["item_id"] for row in items], [r["user_id"] for r in users])

    genres = [set(row["class"].split()) - {"unknown"} for row in items]
    topics = tuple(sorted(set().union(*genres)))
    topic = np.array([[name in has for name in topics] for has in genres])
    years = [row["release_year"] for row in items]
    year = np.array([int(text) if text.isdecimal() else 0 for text in years])

    item_factor, user_factor, item_bias, count = _factorise(ratings, len(users), len(items))
    z_text = _ridge_fit(_text_features(topic, year), item_factor)
    z_cf = item_factor - z_text
    z_image, style_taste = _styles(z_text, user_factor)
    z, anchors = information_split(
        items=(z_text, z_image, z_cf), users=(user_factor, style_taste, user_factor)
    )
    index = np.arange(len(items))
    clickbait = philox.normal(SEED, 0, 0, Purpose.CATALOG, index)
    hidden = Latents(
        z=z,
        appeal=on_grid(0.5 * standardised(np.log1p(count)) + 0.4 * clickbait),
        quality=on_grid(standardised(item_bias)),
        anchors=anchors,
        ages=np.array([int(row["age"]) for row in users]),
    )
    return assemble(
        name="movielens-100k",
        item_id=tuple(row["item_id"] for row in items),
        title=tuple(_title(row["movie_title"]) for row in items),
        description=("",) * len(items),
        topics=topics,
        topic=topic,
        year=year,
        maturity=_maturity(genres),
        price=np.round(2 + 8 * philox.uniform(SEED, 1, 0, Purpose.CATALOG, index), 2),
        popularity=count / count.sum(),
        style=z_image,
        hidden=hidden,
        simulated=("maturity", "price", "sponsored", "posters"),
    )


def _folder() -> Path:
    """Where the bundled files lie; the package is found, never imported."""
    spec = find_spec("recbole")
    places = spec.submodule_search_locations if spec else None
    folder = Path(places[0]) / "dataset_example" / "ml-100k" if places else None
    if folder is None or not folder.is_dir():
        raise InputError(
            "catalog 'movielens-100k' reads the ML-100K files of recbole, which is not "
            "installed; run: pip install 'tasteshift[recbole]' -c constraints.txt"
        )
    return folder


def _rows(path: Path) -> list[dict[str, str]]:
    """An atomic file as dictionaries, column types stripped from the header."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        header = [column.partition(":")[0] for column in next(reader)]
        return [dict(zip(header, row, strict=True)) for row in reader]


def _ratings(folder: Path, item_ids: list[str], user_ids: list[str]) -> Ratings:
    rows = _rows(folder / "ml-100k.inter")
    item_of = {name: k for k, name in enumerate(item_ids)}
    user_of = {name: k for k, name in enumerate(user_ids)}
    return Ratings(
        np.array([user_of[row["user_id"]] for row in rows]),
        np.array([item_of[row["item_id"]] for row in rows]),
        np.array([float(row["rating"]) for row in rows]),
    )


def _factorise(
    ratings: Ratings, num_users: int, num_items: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Item factors (n, k), user factors (U, k), item bias (n) and rating count (n).

    Stars minus shrunken user and item biases, then a truncated SVD; rows are normalised, and
    items with few ratings are shrunk towards zero.
    """
    user, item, stars = ratings
    mean = stars.mean()
    count = np.bincount(item, minlength=num_items).astype(float)
    item_bias = np.bincount(item, stars - mean, num_items) / (count + BIAS_SHRINKAGE)
    residual = stars - mean - item_bias[item]
    per_user = np.bincount(user, minlength=num_users)
    user_bias = np.bincount(user, residual, num_users) / (per_user + BIAS_SHRINKAGE)
    residual -= user_bias[user]
    matrix = csr_array((residual, (user, item)), shape=(num_users, num_items))
    left, scale, right = svds(matrix, k=FACTORS, v0=np.ones(min(matrix.shape)), solver="arpack")
    sign = np.sign(right[np.arange(FACTORS), np.abs(right).argmax(axis=1)])
    item_factor = (right * (sign * np.sqrt(scale))[:, None]).T
    user_factor = left * (sign * np.sqrt(scale))
    item_factor *= (count / (count + BIAS_SHRINKAGE) / _norm(item_factor))[:, None]
    return item_factor, user_factor / _norm(user_factor)[:, None], item_bias, count


def _text_features(topic: NDArray[np.bool_], year: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, T + decades + 1): genres, decade, and a constant."""
    decade = np.clip(year // 10 * 10, 1920, 1990)
    columns = [topic, decade[:, None] == np.unique(decade), np.ones((len(year), 1))]
    return np.hstack([np.asarray(c, dtype=float) for c in columns])


def _ridge_fit(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of y (n, k) that a ridge regression on x (n, f) explains."""
    gram = x.T @ x + RIDGE * np.eye(x.shape[1])
    fit: NDArray[np.float64] = x @ np.linalg.solve(gram, x.T @ y)
    return fit


def _styles(
    z_text: NDArray[np.float64], user_factor: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Visual style of items (n, 8) and taste in style of users (U, 8).

    Style follows text to the share STYLE_FROM_TEXT through a seeded orthonormal map and is
    seeded noise beyond that; tastes follow the users' factors likewise.
    """
    square = philox.normal(
        SEED, 2, np.arange(FACTORS)[:, None], Purpose.CATALOG, np.arange(FACTORS)
    )
    orthonormal = np.linalg.qr(square)[0][:, :STYLE_DIMENSIONS]

    def style(factor: NDArray[np.float64], stream: int) -> NDArray[np.float64]:
        rows, columns = np.arange(len(factor))[:, None], np.arange(STYLE_DIMENSIONS)
        noise = philox.normal(SEED, stream, rows, Purpose.CATALOG, columns)
        follows = standardised(factor @ orthonormal)
        mixed: NDArray[np.float64] = (
            np.sqrt(STYLE_FROM_TEXT) * follows + np.sqrt(1 - STYLE_FROM_TEXT) * noise
        )
        return mixed

    return style(z_text, 3), style(user_factor, 4)


def _maturity(genres: list[set[str]]) -> NDArray[np.int64]:
    """Minimum ages, simulated from genre: family 0, else 13 or 18 by a seeded draw."""
    draw = philox.uniform(SEED, 5, 0, Purpose.CATALOG, np.arange(len(genres)))
    ages = []
    for has, u in zip(genres, draw, strict=True):
        adult = max((ADULT_GENRES.get(name, 0.0) for name in has), default=0.0)
        if has & FAMILY_GENRES:
            ages.append(0)
        elif u < adult:
            ages.append(18)
        else:
            ages.append(13 if has & TEEN_GENRES else 0)
    return np.array(ages)


def _title(raw: str) -> str:
    """``Usual Suspects, The`` as people say it."""
    return re.sub(r"^(.*), (The|A|An)( \(.*)?$", r"\2 \1\3", raw)


def _norm(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norm: NDArray[np.float64] = np.maximum(np.linalg.norm(rows, axis=1), 1e-12)
    return norm
