"""On-disk cache of fitted catalogs, read back without the data they were fitted to."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ...storage import atomic_path, folder
from .assemble import data_hash
from .catalog import Catalog
from .latents import CatalogData, Latents
from .posters import RenderedPosters
from .texts import LazyTexts

FORMAT = 2
TEXTS = ("item_id", "title", "description", "topics", "simulated")


def cached(name: str, build: Callable[[], CatalogData]) -> CatalogData:
    """The stored catalog `name`, or `build()`, stored for next time where the disk allows it.

    A stored file whose content does not match its hash is rebuilt. Catalogs with texts made on
    demand are not stored: building them is as fast as reading.
    """
    path = folder() / "catalogs" / f"{name}-{FORMAT}.npz"
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return _read_npz(path)
    data = build()
    if not isinstance(data.public.title, LazyTexts):
        with suppress(OSError):
            _write_npz(path, data)
    return data


def _write_npz(path: Path, data: CatalogData) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {f"public.{f.name}": getattr(data.public, f.name) for f in fields(Catalog)}
    columns |= {f"hidden.{f.name}": getattr(data.hidden, f.name) for f in fields(Latents)}
    columns |= {f"public.{name}": np.array(tuple(columns[f"public.{name}"])) for name in TEXTS}
    if isinstance(data.public.posters, RenderedPosters):
        del columns["public.posters"]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)


def _read_npz(path: Path) -> CatalogData:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        public: dict[str, Any] = {
            f.name: stored[f"public.{f.name}"]
            for f in fields(Catalog)
            if f"public.{f.name}" in stored
        }
        latents: dict[str, Any] = {f.name: stored[f"hidden.{f.name}"] for f in fields(Latents)}
    for name in TEXTS:
        public[name] = tuple(str(text) for text in public[name])
    for name in ("name", "hash"):
        public[name] = str(public[name])
    public.setdefault("posters", RenderedPosters(public["name"], len(public["item_id"])))
    latents["widths"] = tuple(int(width) for width in latents["widths"])
    hidden, expected = Latents(**latents), public.pop("hash")
    columns = {key: value for key, value in public.items() if key != "name"}
    if data_hash(columns, hidden) != expected:
        raise ValueError(f"{path} does not match its hash")
    return CatalogData(Catalog(hash=expected, **public), hidden)
