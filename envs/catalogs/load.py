"""From a catalog's name to its data."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from ...errors import InputError
from ...registry import Registry
from .cache import cached
from .catalog import Catalog
from .latents import CatalogData

Builder = Callable[..., CatalogData]

CATALOGS: Registry[Builder] = Registry("catalog")
"""Name -> builder. A builder takes no argument, or the text after ``name:``."""

CATALOGS.register("movielens-100k", "tasteshift.envs.catalogs.movielens:build")
CATALOGS.register("synthetic", "tasteshift.envs.catalogs.synthetic:build")


HELD_PREFIX = "hidden:"
"""How the names of held catalogs begin; no catalog of the registry can be called so."""

_HELD: dict[str, Callable[[], CatalogData]] = {}


def hold(name: str, make: Callable[[], CatalogData]) -> None:
    """Let `load_data(name)`, and all that goes by a catalog's name, find what `make` makes.

    In this process only, until `release`. A name stands for one catalog for ever, since caches
    remember it: holding it again changes nothing, and `make` must make the same every time it is
    asked, which is whenever the caches have forgotten the catalog, and call it by that name. Any
    number of threads may hold, release and load. Raises InputError for a name that does not begin
    with HELD_PREFIX or ends in an overlay's.
    """
    from .overlays import plain_name

    if not name.startswith(HELD_PREFIX) or name != plain_name(name):
        raise InputError(f"a catalog cannot be held as {name!r}; call it {HELD_PREFIX}…")
    _HELD.setdefault(name, make)


def release(name: str) -> None:
    """Forget how a held catalog is made; what the caches still have of it fades with use."""
    _HELD.pop(name, None)


@lru_cache(maxsize=8)
def load_data(name: str) -> CatalogData:
    """Public and hidden half of a catalog; for the simulator only.

    A name is one of the registry's, ``synthetic:N``, the path of a folder with items, or one
    that is held.
    """
    name = str(name)
    if make := _HELD.get(name):
        data = make()
        if data.public.name != name:
            raise InputError(f"what is held as {name!r} calls itself {data.public.name!r}")
        return data
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
