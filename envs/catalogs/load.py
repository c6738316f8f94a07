"""From a catalog's name to its data."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from ...errors import InputError
from ...registry import Registry
from ..latents import CatalogData
from .cache import cached
from .catalog import Catalog

Builder = Callable[..., CatalogData]

CATALOGS: Registry[Builder] = Registry("catalog")
"""Name -> builder. A builder takes no argument, or the text after ``name:``."""

CATALOGS.register("movielens-100k", "tasteshift.envs.catalogs.movielens:build")
CATALOGS.register("synthetic", "tasteshift.envs.catalogs.synthetic:build")


@lru_cache(maxsize=8)
def load_data(name: str) -> CatalogData:
    """Public and hidden half of a catalog; for the simulator only.

    A name is one of the registry's, ``synthetic:N``, or the path of a folder with items.
    """
    name = str(name)
    base, colon, size = name.partition(":")
    if base not in CATALOGS and (os.sep in name or "/" in name or Path(name).is_dir()):
        from .folder import build_folder

        return build_folder(name)
    build = CATALOGS.get(base)
    if base == "synthetic":
        return build(size)
    if colon:
        raise InputError(f"catalog {base!r} has one size; write it without {colon + size!r}")
    return cached(base, build)


def load_catalog(name: str) -> Catalog:
    """The public half of the catalog `name`; raises UnknownName or InputError.

    >>> load_catalog("synthetic").title[0]
    'The Silent Harbor of Lisbon'
    """
    return load_data(name).public
