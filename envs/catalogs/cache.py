"""Catalogs on disk: fitted once, hashed, and read back without the data they came from."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..latents import CatalogData, Latents
from .catalog import Catalog
from .hashing import content_hash

FORMAT = 1


def folder() -> Path:
    """``$TASTESHIFT_CACHE``, else ``$XDG_CACHE_HOME/tasteshift``, else ``~/.cache/tasteshift``."""
    chosen = os.environ.get("TASTESHIFT_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return Path(chosen)
    return (Path(base) if base else Path.home() / ".cache") / "tasteshift"


def cached(name: str, build: Callable[[], CatalogData]) -> CatalogData:
    """The stored catalog `name`, or `build()`, stored for next time where the disk allows it.

    A stored file whose content does not match its hash is rebuilt.
    """
    path = folder() / "catalogs" / f"{name}-{FORMAT}.npz"
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return _read(path)
    data = build()
    with suppress(OSError):
        _write(path, data)
    return data


def _write(path: Path, data: CatalogData) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    columns = {f"public.{f.name}": getattr(data.public, f.name) for f in fields(Catalog)}
    columns |= {f"hidden.{f.name}": getattr(data.hidden, f.name) for f in fields(Latents)}
    with temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)
    os.replace(temporary, path)


def _read(path: Path) -> CatalogData:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        public: dict[str, Any] = {f.name: stored[f"public.{f.name}"] for f in fields(Catalog)}
        hidden = {f.name: stored[f"hidden.{f.name}"] for f in fields(Latents)}
    for name in ("item_id", "title", "description", "topics", "simulated"):
        public[name] = tuple(str(text) for text in public[name])
    for name in ("name", "hash"):
        public[name] = str(public[name])
    expected = public.pop("hash")
    if content_hash({**public, **hidden}) != expected:
        raise ValueError(f"{path} does not match its hash")
    return CatalogData(Catalog(hash=expected, **public), Latents(**hidden))
