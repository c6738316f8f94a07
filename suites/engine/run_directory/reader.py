"""Reading run directories: manifest, episodes, scores and tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from ....errors import InputError
from ....records import Episode, Manifest, Score
from ...serialization import sha256
from .schema import FORMAT_VERSION

T = TypeVar("T")


def check_finished(path: Path) -> None:
    """Raise InputError, which says what to do, unless `path` holds a finished run."""
    _check_begun(path)
    if not (path / "scores.json").exists():
        raise InputError(f"{path} holds no finished run; finish it with tasteshift run … --resume")


def read_manifest(path: Path) -> Manifest:
    """The manifest of a run directory.

    Raises InputError where there is none, it was changed, or it has another format version.
    """
    _check_begun(path)
    file = path / "manifest.json"
    _check_format(path, file)
    manifest = read_json(file, TypeAdapter(Manifest))
    if manifest.identity_hash != sha256(asdict(manifest.identity)):
        raise InputError(f"{file} was changed: identity_hash is not the hash of identity")
    return manifest


def read_episodes(path: Path) -> list[Episode]:
    """The episodes of a run directory in file order; raises InputError."""
    file = path / "episodes.jsonl"
    try:
        return list(parse_episodes(file, file.read_bytes()))
    except OSError:
        raise InputError(f"{file} is missing; the run is not finished") from None


def read_scores(path: Path) -> list[Score]:
    """The scores of a finished run directory; raises InputError where it is unfinished."""
    check_finished(path)
    return read_json(path / "scores.json", TypeAdapter(list[Score]))


def read_table(path: Path, schema: pa.Schema, task: str | None = None) -> pa.Table:
    """The rows of one task, or of all, of a parquet file with exactly the columns of `schema`.

    Row groups without rows of the task are skipped after a look at their rows: the statistics of
    a file are not trusted, since anybody may have edited them. Raises InputError.
    """
    with parquet_errors(path), pq.ParquetFile(path) as file:
        check_columns(path, file.schema_arrow, schema)
        if task is None:
            return file.read()
        parts = [schema.empty_table()]
        for group in range(file.num_row_groups):
            wanted = pc.equal(file.read_row_group(group, ["task"])["task"], task)
            if pc.any(wanted).as_py():
                parts.append(file.read_row_group(group).filter(wanted))
        return pa.concat_tables(parts)


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Raise InputError of one line for whatever goes wrong while a parquet file is read."""
    try:
        yield
    except MemoryError:
        raise
    except (OSError, pa.ArrowException) as error:
        missing = isinstance(error, FileNotFoundError)
        what = "is missing" if missing else "cannot be read: it is truncated or was changed"
        raise InputError(f"{path} {what}") from None


def check_columns(path: Path, found: pa.Schema, schema: pa.Schema) -> None:
    """Raise InputError where a file has other columns than `schema`."""
    if not found.equals(schema):
        raise InputError(f"{path} does not have the columns of this version")


def read_json(path: Path, kind: TypeAdapter[T]) -> T:
    """The content of a JSON file as `kind`; raises InputError of one line."""
    try:
        return kind.validate_json(path.read_bytes())
    except OSError:
        raise InputError(f"{path} is missing; the run is not finished") from None
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        what = error.errors()[0]["msg"]
        raise InputError(f"{path} cannot be read: {where + ': ' if where else ''}{what}") from None


def parse_episodes(path: Path, content: bytes) -> Iterator[Episode]:
    """The episodes of the lines of episodes.jsonl; raises InputError that names the line."""
    kind = TypeAdapter(Episode)
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            yield kind.validate_json(line)
        except ValidationError:
            raise InputError(f"{path}, line {number} is not an episode") from None


def _check_begun(path: Path) -> None:
    if not path.is_dir():
        raise InputError(f"{path} is not a run directory; name the --out folder of a run")
    if not (path / "manifest.json").exists():
        raise InputError(
            f"{path} holds no run: manifest.json is missing; name the --out folder of one"
        )


def _check_format(path: Path, file: Path) -> None:
    """Raise InputError for another format version; the first one was not numbered."""
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return
    found = content.get("format", 1) if isinstance(content, dict) else FORMAT_VERSION
    if found != FORMAT_VERSION:
        raise InputError(
            f"{path} was written by another version of TasteShift (run directory format {found}, "
            f"this version reads {FORMAT_VERSION}); run it again"
        )
