"""Load catalogs by name: the registry, in-memory catalogs, folders, and the on-disk cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...registry import Registry
from .cache import cached
from .catalog import Catalog
from .latents import CatalogData
from .overlays import base_name
from .posters import set_style_lookup

Builder = Callable[..., CatalogData]

CATALOGS: Registry[Builder] = Registry("catalog")
"""Name -> builder. A builder takes no argument, or the text after ``name:``."""

CATALOGS.register("movielens-100k", "tasteshift.envs.catalogs.sources.movielens:build")
CATALOGS.register("synthetic", "tasteshift.envs.catalogs.sources.synthetic:build")

IN_MEMORY_PREFIX = "hidden:"
"""Prefix of the names of in-memory catalogs; no catalog of the registry can have it."""

_IN_MEMORY: dict[str, Callable[[], CatalogData]] = {}


def register_in_memory(name: str, make: Callable[[], CatalogData]) -> None:
    """Let `load_data(name)` return what `make` returns, in this process, until `unregister`.

    A name stands for one catalog for good, since caches remember it: registering it again changes
    nothing, and `make` must return the same catalog, called `name`, whenever the caches have
    dropped it. Thread-safe. Raises InputError for a name that does not begin with
    IN_MEMORY_PREFIX or that ends in an overlay's.
    """
    if not name.startswith(IN_MEMORY_PREFIX) or name != base_name(name):
        raise InputError(
            f"an in-memory catalog cannot be called {name!r}; call it {IN_MEMORY_PREFIX}…"
        )
    _IN_MEMORY.setdefault(name, make)


def unregister_in_memory(name: str) -> None:
    """Forget an in-memory catalog; caches may keep its data for a while."""
    _IN_MEMORY.pop(name, None)


@lru_cache(maxsize=8)
def load_data(name: str) -> CatalogData:
    """Public and hidden half of a catalog; for the simulator only.

    name  one of the registry, ``synthetic:N``, the path of a folder with items, or the name of
          an in-memory catalog
    """
    name = str(name)
    if make := _IN_MEMORY.get(name):
        data = make()
        if data.public.name != name:
            raise InputError(f"in-memory catalog {name!r} is called {data.public.name!r}")
        return data
    base, colon, size = name.partition(":")
    if base not in CATALOGS and (os.sep in name or "/" in name or Path(name).is_dir()):
        from .sources.folder import build_folder

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


def _style_of(name: str) -> NDArray[np.float64]:
    return load_data(name).hidden.z_image


set_style_lookup(_style_of)
