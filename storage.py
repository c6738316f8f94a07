"""The cache folder, and files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def folder() -> Path:
    """``$TASTESHIFT_CACHE``, else ``$XDG_CACHE_HOME/tasteshift``, else ``~/.cache/tasteshift``."""
    chosen = os.environ.get("TASTESHIFT_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return Path(chosen)
    return (Path(base) if base else Path.home() / ".cache") / "tasteshift"


@contextmanager
def atomic_path(path: Path, *, overwrite: bool = True, sync: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends.

    Readers see the old file or the whole new one. An exception in the block leaves `path` as it
    was and removes the temporary file; a killed process leaves one named ``.<name>.<digits>.tmp``.

    overwrite  False keeps a file that is there meanwhile, and raises FileExistsError
    sync       True makes the content survive a loss of power before it takes its place
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        if sync:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        if overwrite:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_atomically(
    path: Path, content: str | bytes, *, overwrite: bool = True, sync: bool = False
) -> None:
    """Write text (as UTF-8) or bytes to `path` by way of `atomic_path`."""
    data = content.encode() if isinstance(content, str) else content
    with atomic_path(path, overwrite=overwrite, sync=sync) as temporary:
        temporary.write_bytes(data)
