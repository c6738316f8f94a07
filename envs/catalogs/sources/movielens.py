"""movielens-100k: real titles, genres, years, ages and ratings (Harper & Konstan 2015).

Read from the atomic files inside the recbole distribution, without importing it. What the files
do not have (maturity, price, sponsorship, posters) is simulated and listed
in `Catalog.simulated`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ..fitting.fit import SEED, fit
from ..fitting.simulated_columns import uniform_column
from ..latents import CatalogData
from .recbole_files import read_source

NAME = "movielens-100k"
ADULT_GENRES = {"Horror": 0.7, "Film-Noir": 0.4, "Crime": 0.5, "Thriller": 0.35, "War": 0.3}
TEEN_GENRES = {"Action", "Thriller", "Drama", "Romance", "Sci-Fi", "War", "Crime", "Horror"}
FAMILY_GENRES = {"Animation", "Children's", "Musical"}


def build() -> CatalogData:
    """1,682 films and 943 users of ML-100K, with latents fitted to their ratings.

    Takes a second or two; raises InputError where recbole, whose files it reads, is missing.
    """
    source = read_source(NAME, ratings_folder())
    assert source.topics is not None
    return fit(replace(source, maturity=_maturity(source.topics), simulated=("maturity",)))


def ratings_folder() -> Path:
    """The folder of the bundled files; recbole is located, never imported."""
    spec = find_spec("recbole")
    roots = spec.submodule_search_locations if spec else None
    folder = Path(roots[0]) / "dataset_example" / "ml-100k" if roots else None
    if folder is None or not folder.is_dir():
        raise InputError(
            "catalog 'movielens-100k' reads the ML-100K files of recbole, which is not installed; "
            "run: pip install 'tasteshift[recbole]' -c constraints.txt, or for the files alone, "
            "on any Python: pip install --no-deps recbole==1.2.1"
        )
    return folder


def _maturity(genres: Sequence[set[str]]) -> NDArray[np.int64]:
    """Minimum ages, simulated from genre: family 0, else 13 or 18 by a seeded draw."""
    ages = []
    for has, u in zip(genres, uniform_column(SEED, 5, len(genres)), strict=True):
        adult = max((ADULT_GENRES.get(name, 0.0) for name in has), default=0.0)
        if has & FAMILY_GENRES:
            ages.append(0)
        elif u < adult:
            ages.append(18)
        else:
            ages.append(13 if has & TEEN_GENRES else 0)
    return np.array(ages)
