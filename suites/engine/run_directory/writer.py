"""Writing a run directory, safe to kill at any instant."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ....errors import InputError
from ....records import KEY_COLUMNS, EpisodeKey, Identity, Manifest, Score
from ....storage import atomic_path, write_atomically
from ...serialization import canonical_json
from ..episode_runner import EpisodeResult
from ..trace_rows import round_rows, step_row
from .reader import parse_episodes, read_episodes, read_manifest
from .schema import GENERATIONS, STEPS
from .timings import TIMINGS_FILE, timings_of

ROWS_PER_GROUP = 65_536
PARTS = ("steps.parquet", "generations.parquet", TIMINGS_FILE)


class RunDirectory:
    """A run directory being written. Open one with `create` or `resume`."""

    def __init__(self, path: Path, manifest: Manifest, done: set[EpisodeKey]) -> None:
        self.path = path
        self.manifest = manifest
        self.done = done
        self._lock: int | None = None

    @classmethod
    def create(cls, path: Path, manifest: Manifest) -> RunDirectory:
        """A run for a new or empty folder; raises InputError for any other.

        Nothing is written before the first episode is added.
        """
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file; choose another --out")
        if path.is_dir() and any(_contents(path)):
            if (path / "scores.json").exists():
                raise InputError(f"{path} holds a finished run; choose another --out or delete it")
            if (path / "manifest.json").exists():
                raise InputError(f"{path} holds an unfinished run; add --resume to go on with it")
            raise InputError(f"{path} is not empty and holds no run; choose another --out")
        nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
            raise InputError(f"cannot write to {nearest}; choose another --out")
        return cls(path, manifest, set())

    @classmethod
    def resume(cls, path: Path, manifest: Manifest) -> RunDirectory:
        """Go on with the run in `path`, if it is the same run; a new one where there is none.

        Raises InputError where its identity differs. A torn last line of episodes.jsonl is
        dropped, and its episode is run again.
        """
        if not (path / "manifest.json").exists():
            return cls.create(path, manifest)
        stored = read_manifest(path)
        if stored.identity_hash != manifest.identity_hash:
            what = identity_difference(stored.identity, manifest.identity)
            raise InputError(
                f"{path} holds another run ({what}); choose another --out, or delete it"
            )
        if canonical_json(stored.suite) != canonical_json(manifest.suite):
            raise InputError(f"{path / 'manifest.json'} was changed: its suite is another one")
        run = cls(path, stored, set())
        run._acquire_lock()
        try:
            run._recover()
        except InputError:
            run.close()
            raise
        return run

    @property
    def finished(self) -> bool:
        """Whether scores.json is there."""
        return (self.path / "scores.json").exists()

    def add(self, result: EpisodeResult) -> None:
        """Keep a finished episode: its parts first, its line last. One that is kept stays."""
        key = result.episode.key
        if key in self.done:
            return
        self._begin()
        steps, rounds = _table_rows(result)
        _write_table(self._part(key, "steps.parquet"), steps, STEPS)
        _write_table(self._part(key, "generations.parquet"), rounds, GENERATIONS)
        write_atomically(self._part(key, TIMINGS_FILE), canonical_json(timings_of(result)))
        with (self.path / "episodes.jsonl").open("a", encoding="utf-8") as file:
            file.write(canonical_json(asdict(result.episode)) + "\n")
        self.done.add(key)

    def has_parts(self, key: EpisodeKey) -> bool:
        """Whether all that `add` writes before an episode's line is there, and whole."""
        try:
            for kind in PARTS:
                part = self._part(key, kind)
                json.loads(part.read_bytes()) if kind == TIMINGS_FILE else pq.read_metadata(part)
        except (OSError, ValueError, pa.ArrowException):
            return False
        return True

    def close(self) -> None:
        """Release the lock, so that another process may write here."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def gather(self) -> list[dict[str, Any]]:
        """Sort the parts into episodes.jsonl and the tables; returns all episodes' timings."""
        keys = sorted(self.done)
        episodes = sorted(read_episodes(self.path), key=lambda episode: episode.key)
        lines = [canonical_json(asdict(episode)) + "\n" for episode in episodes]
        for name, schema in (("steps", STEPS), ("generations", GENERATIONS)):
            parts = (self._part(key, f"{name}.parquet") for key in keys)
            _concatenate(self.path / f"{name}.parquet", parts, schema)
        write_atomically(self.path / "episodes.jsonl", "".join(lines))
        return [json.loads(self._part(key, TIMINGS_FILE).read_text()) for key in keys]

    def finish(
        self, timings: list[dict[str, Any]], scores: Iterable[Score], timed: Iterable[Score]
    ) -> None:
        """Write timings.json, then scores.json, which makes the run finished."""
        clock = {"scores": [asdict(score) for score in timed], "episodes": timings}
        write_atomically(self.path / TIMINGS_FILE, canonical_json(clock))
        rows = [asdict(score) for score in scores]
        text = json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(self.path / "scores.json", text)
        shutil.rmtree(self.path / "parts", ignore_errors=True)

    def _acquire_lock(self) -> None:
        """Keep other processes out for as long as this one writes here."""
        self._lock = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise InputError(
                f"another process is writing to {self.path}; wait for it or choose another --out"
            ) from None

    def _recover(self) -> None:
        """Find out which episodes are done, and drop what a kill left behind."""
        for file in self.path.glob(".*.tmp"):
            file.unlink(missing_ok=True)
        if self.finished:
            shutil.rmtree(self.path / "parts", ignore_errors=True)
            return
        file = self.path / "episodes.jsonl"
        if file.exists():
            content = file.read_bytes()
            content = content[: content.rfind(b"\n") + 1]
            found = {episode.key: episode for episode in parse_episodes(file, content)}
            kept = {key: one for key, one in found.items() if self.has_parts(key)}
            lines = (canonical_json(asdict(episode)) + "\n" for episode in kept.values())
            write_atomically(file, "".join(lines))
            self.done = set(kept)

    def _begin(self) -> None:
        if self._lock is None:
            self.path.mkdir(parents=True, exist_ok=True)
            self._acquire_lock()
            if any(_contents(self.path)):
                self.close()
                raise InputError(f"another process wrote to {self.path}; choose another --out")
        if not (self.path / "parts").exists():
            text = json.dumps(asdict(self.manifest), indent=2)
            write_atomically(self.path / "manifest.json", text)
            (self.path / "parts").mkdir()

    def _part(self, key: EpisodeKey, kind: str) -> Path:
        name = "-".join(str(part).replace("/", "~") for part in key)
        return self.path / "parts" / f"{name}.{kind}"


def identity_difference(stored: Identity, now: Identity) -> str:
    """The fields in which two identities differ, with both values where they are short."""
    old, new = asdict(stored), asdict(now)
    parts = []
    for name in new:
        before, after = canonical_json(old[name]), canonical_json(new[name])
        if before != after:
            short = len(before) + len(after) < 80 and not name.endswith("hash")
            parts.append(f"{name} was {before} and is {after}" if short else f"different {name}")
    return "; ".join(parts)


def _table_rows(result: EpisodeResult) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows that an episode adds to steps.parquet and generations.parquet."""
    episode = result.episode
    key = dict(zip(KEY_COLUMNS, episode.key, strict=True))
    steps, rounds = [], []
    for step, replies in zip(result.steps, result.replies, strict=True):
        turn = {"session": step.session, "turn": step.turn}
        steps.append({**key, "age_group": episode.age_group, **step_row(step)})
        rounds += [{**key, **turn, **row} for row in round_rows(replies)]
    return steps, rounds


def _contents(path: Path) -> Iterator[Path]:
    """The files of a folder, but for temporary ones that a kill left."""
    return (file for file in path.iterdir() if not file.match(".*.tmp"))


def _write_table(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary)


def _concatenate(path: Path, parts: Iterable[Path], schema: pa.Schema) -> None:
    """Concatenate parquet parts in row groups of about ROWS_PER_GROUP rows."""
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        waiting: list[pa.Table] = []
        for part in parts:
            waiting.append(pq.read_table(part))
            if sum(len(table) for table in waiting) >= ROWS_PER_GROUP:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
