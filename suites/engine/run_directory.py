"""The run directory: what a run leaves on disk, safe to kill at any instant.

manifest.json        identity (hashed) and provenance
episodes.jsonl       one line per finished episode, the unit of resume
steps.parquet        the trace, one row per turn
generations.parquet  one row per decoding round of the agent
timings.json         everything that a clock touched
scores.json          the scores; its presence means that the run is finished
report.html          the same for people

While running, the trace of each episode lies in ``parts/`` and its line in episodes.jsonl is
written last. Finishing sorts by (task, seed, user, policy), so that the order in which lives
were lived leaves no mark.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from ...errors import InputError
from ...records import Episode, Identity, Manifest, Score
from ..canonical import canonical, sha256
from .episode import EpisodeResult, Key, round_rows, step_row

T = TypeVar("T")

KEY_FIELDS: list[tuple[str, Any]] = [("task", pa.string()), ("seed", pa.int64())]
KEY_FIELDS += [("user", pa.int64()), ("policy", pa.string())]
CLAIM = pa.struct([("item", pa.int64()), ("field", pa.string()), ("value", pa.string())])
STEPS = pa.schema(
    [
        *KEY_FIELDS,
        ("age_group", pa.string()),
        ("session", pa.int64()),
        ("turn", pa.int64()),
        ("day", pa.int64()),
        ("utterance", pa.string()),
        ("slate", pa.list_(pa.int64())),
        ("chosen", pa.int64()),
        ("reward", pa.float64()),
        ("claims", pa.list_(CLAIM)),
        ("profile", pa.list_(pa.float64())),
        ("fault", pa.string()),
        *((name, pa.float64()) for name in ("expected", "best", "under_first", "under_last")),
        ("under_organic", pa.float64()),
        *((name, pa.int64()) for name in ("breaches", "violations", "stale", "fresh")),
        ("fresh_chosen", pa.bool_()),
        *((name, pa.int64()) for name in ("tampered", "sponsored", "disclosed", "false_claims")),
        ("regime", pa.int64()),
        ("gift", pa.bool_()),
        ("topics", pa.list_(pa.int64())),
        ("liking", pa.list_(pa.float64())),
    ]
)
GENERATIONS = pa.schema(
    [
        *KEY_FIELDS,
        ("session", pa.int64()),
        ("turn", pa.int64()),
        ("reply", pa.int64()),
        ("outcome", pa.string()),
        ("text", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("tokens", pa.int64()),
        ("round", pa.int64()),
        ("max_depth", pa.int64()),
        ("drafted_depth", pa.int64()),
        ("drafted_nodes", pa.int64()),
        ("verified_nodes", pa.int64()),
        ("accepted", pa.int64()),
        ("emitted", pa.int64()),
        ("sources", pa.list_(pa.string())),
    ]
)
ROWS_PER_GROUP = 65_536
CLOCK = "timings.json"
PARTS = ("steps.parquet", "generations.parquet", CLOCK)


def key_of(episode: Episode) -> Key:
    """What identifies an episode within a run, and sorts it."""
    return episode.task, episode.seed, episode.user, episode.policy


def write_atomically(path: Path, text: str) -> None:
    """Write beside `path`, then rename: a reader sees the old file or the whole new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


class RunDir:
    """A run directory being written. Open one with `create` or `resume`."""

    def __init__(self, path: Path, manifest: Manifest, done: set[Key]) -> None:
        self.path = path
        self.manifest = manifest
        self.done = done
        self._lock: int | None = None

    @classmethod
    def create(cls, path: Path, manifest: Manifest) -> RunDir:
        """A run for a new or empty folder; raises InputError for any other.

        Nothing is written before the first life is added.
        """
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file; choose another --out")
        if path.is_dir() and any(_lasting(path)):
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
    def resume(cls, path: Path, manifest: Manifest) -> RunDir:
        """Go on with the run in `path`, if it is the same run; a new one where there is none.

        Raises InputError where its identity differs. A torn last line of episodes.jsonl is
        dropped, and its episode is lived again.
        """
        if not (path / "manifest.json").exists():
            return cls.create(path, manifest)
        stored = read_manifest(path)
        if stored.identity_hash != manifest.identity_hash:
            what = f"{path} holds another run ({drift(stored.identity, manifest.identity)})"
            raise InputError(f"{what}; choose another --out, or delete it")
        if canonical(stored.suite) != canonical(manifest.suite):
            raise InputError(f"{path / 'manifest.json'} was changed: its suite is another one")
        run = cls(path, stored, set())
        run._hold()
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

    def add(self, life: EpisodeResult) -> None:
        """Keep a finished life: its parts first, its line last. Once is enough."""
        episode = life.episode
        steps, generations, timings = life_rows(life)
        key = key_of(episode)
        if key in self.done:
            return
        self._begin()
        _write_table(self._part(key, "steps.parquet"), steps, STEPS)
        _write_table(self._part(key, "generations.parquet"), generations, GENERATIONS)
        write_atomically(self._part(key, "timings.json"), canonical(timings))
        with (self.path / "episodes.jsonl").open("a", encoding="utf-8") as file:
            file.write(canonical(asdict(episode)) + "\n")
        self.done.add(key)

    def has_parts(self, key: Key) -> bool:
        """Whether all that `add` writes before its line is there, and whole."""
        try:
            for kind in PARTS:
                part = self._part(key, kind)
                json.loads(part.read_bytes()) if kind == CLOCK else pq.read_metadata(part)
        except (OSError, ValueError, pa.ArrowException):
            return False
        return True

    def close(self) -> None:
        """Let others write here."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def gather(self) -> list[dict[str, Any]]:
        """Sort the parts into the contract files; returns the timings of all lives."""
        keys = sorted(self.done)
        episodes = sorted(read_episodes(self.path), key=key_of)
        lines = [canonical(asdict(episode)) + "\n" for episode in episodes]
        for name, schema in (("steps", STEPS), ("generations", GENERATIONS)):
            parts = (self._part(key, f"{name}.parquet") for key in keys)
            _stream(self.path / f"{name}.parquet", parts, schema)
        write_atomically(self.path / "episodes.jsonl", "".join(lines))
        return [json.loads(self._part(key, "timings.json").read_text()) for key in keys]

    def finish(
        self, timings: list[dict[str, Any]], scores: Iterable[Score], clocked: Iterable[Score]
    ) -> None:
        """Write timings.json, then scores.json, which makes the run finished."""
        clock = {"scores": [asdict(score) for score in clocked], "lives": timings}
        write_atomically(self.path / "timings.json", canonical(clock))
        rows = json.dumps(
            [asdict(s) for s in scores], indent=1, ensure_ascii=False, allow_nan=False
        )
        write_atomically(self.path / "scores.json", rows)
        shutil.rmtree(self.path / "parts", ignore_errors=True)

    def _hold(self) -> None:
        """Keep other runners out for as long as this process writes here."""
        self._lock = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise InputError(
                f"another runner is at work in {self.path}; wait for it or choose another --out"
            ) from None

    def _recover(self) -> None:
        """Find out which lives are done, and drop what a kill left behind."""
        if self.finished:
            shutil.rmtree(self.path / "parts", ignore_errors=True)
            return
        lines = self.path / "episodes.jsonl"
        if lines.exists():
            whole = lines.read_bytes()
            whole = whole[: whole.rfind(b"\n") + 1]
            found = {key_of(episode): episode for episode in _parse_episodes(lines, whole)}
            kept = {key: one for key, one in found.items() if self.has_parts(key)}
            write_atomically(lines, "".join(canonical(asdict(e)) + "\n" for e in kept.values()))
            self.done = set(kept)

    def _begin(self) -> None:
        if self._lock is None:
            self.path.mkdir(parents=True, exist_ok=True)
            self._hold()
            if any(_lasting(self.path)):
                self.close()
                raise InputError(f"another runner was at work in {self.path}; choose another --out")
        if not (self.path / "parts").exists():
            text = json.dumps(asdict(self.manifest), indent=2)
            write_atomically(self.path / "manifest.json", text)
            (self.path / "parts").mkdir()

    def _part(self, key: Key, kind: str) -> Path:
        name = "-".join(str(part).replace("/", "~") for part in key)
        return self.path / "parts" / f"{name}.{kind}"


def life_rows(
    life: EpisodeResult,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """The rows that a life adds to steps.parquet and generations.parquet, and its timings."""
    task, seed, user, policy = key_of(life.episode)
    key = {"task": task, "seed": seed, "user": user, "policy": policy}
    steps, generations, clock = [], [], []
    for number, (step, replies) in enumerate(zip(life.steps, life.replies, strict=True)):
        when = {"session": step.session, "turn": step.turn}
        steps.append({**key, "age_group": life.episode.age_group, **step_row(step)})
        generations += [{**key, **when, **row} for row in round_rows(replies)]
        clock += [
            {
                "turn": number,
                "seconds": reply.generation.seconds,
                "first_token_seconds": reply.generation.first_token_seconds,
                "rounds": [
                    [one.draft_seconds, one.verify_seconds, one.decide_seconds]
                    for one in reply.generation.rounds
                ],
            }
            for reply in replies
        ]
    clocks = {"decisions": list(life.seconds), "memory": list(life.memory), "generations": clock}
    return steps, generations, {**key, **clocks, "error": life.error}


def _lasting(path: Path) -> Iterator[Path]:
    """What lies in a folder, but for what a kill leaves half-written."""
    return (file for file in path.iterdir() if not file.match(".*.tmp"))


def drift(stored: Identity, now: Identity) -> str:
    """What differs between two identities, with both values where they are short."""
    old, new = asdict(stored), asdict(now)
    parts = []
    for name in new:
        before, after = canonical(old[name]), canonical(new[name])
        if before != after:
            short = len(before) + len(after) < 80 and not name.endswith("hash")
            parts.append(f"{name} was {before} and is {after}" if short else f"different {name}")
    return "; ".join(parts)


def check_finished(path: Path) -> None:
    """Raise InputError, which says what to do, unless `path` holds a finished run."""
    _check_begun(path)
    if not (path / "scores.json").exists():
        raise InputError(f"{path} holds no finished run; finish it with tasteshift run … --resume")


def _check_begun(path: Path) -> None:
    if not path.is_dir():
        raise InputError(f"{path} is not a run directory; name the --out folder of a run")
    if not (path / "manifest.json").exists():
        raise InputError(
            f"{path} holds no run: manifest.json is missing; name the --out folder of one"
        )


def read_manifest(path: Path) -> Manifest:
    """The manifest of a run directory; raises InputError where there is none or it was changed."""
    _check_begun(path)
    manifest = _read_json(path / "manifest.json", TypeAdapter(Manifest))
    if manifest.identity_hash != sha256(asdict(manifest.identity)):
        raise InputError(
            f"{path / 'manifest.json'} was changed: identity_hash is not the hash of identity"
        )
    return manifest


def read_episodes(path: Path) -> list[Episode]:
    """The episodes of a run directory in file order; raises InputError."""
    file = path / "episodes.jsonl"
    try:
        return list(_parse_episodes(file, file.read_bytes()))
    except OSError:
        raise InputError(f"{file} is missing; the run is not finished") from None


def read_scores(path: Path) -> list[Score]:
    """The scores of a finished run directory; raises InputError where it is unfinished."""
    check_finished(path)
    return _read_json(path / "scores.json", TypeAdapter(list[Score]))


def read_timings(path: Path) -> dict[str, Any]:
    """timings.json: ``scores`` that a clock touched, and the timings of all ``lives``."""
    timings = _read_json(path / "timings.json", TypeAdapter(Timings))
    for life in timings.lives:
        turns = len(life.decisions)
        if len(life.memory) != turns or any(not 0 <= g.turn < turns for g in life.generations):
            where = f"{life.task}, seed {life.seed}, user {life.user} ({life.policy})"
            raise InputError(f"{path / 'timings.json'} was changed: {where} has other turns")
    return asdict(timings)


@dataclass(frozen=True)
class TextTimings:
    """One text: the decision it was written for, and seconds; of each round three."""

    turn: int
    seconds: float
    first_token_seconds: float
    rounds: list[list[float]]


@dataclass(frozen=True)
class EpisodeTimings:
    """What timings.json says about one life: seconds and bytes of every decision."""

    task: str
    seed: int
    user: int
    policy: str
    decisions: list[float]
    memory: list[int]
    generations: list[TextTimings]
    error: str


@dataclass(frozen=True)
class Timings:
    """The whole of timings.json."""

    scores: list[Score]
    lives: list[EpisodeTimings]


def read_table(path: Path, schema: pa.Schema, task: str | None = None) -> pa.Table:
    """The rows of one task, or of all, of a parquet file with exactly the columns of `schema`.

    Row groups that hold none of them are not read: the rows say so, not the file's statistics,
    which anybody may have edited. Raises InputError.
    """
    with reading(path), pq.ParquetFile(path) as file:
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
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a parquet file is read into one line for its owner."""
    try:
        yield
    except MemoryError:
        raise
    except (OSError, pa.ArrowException) as error:
        missing = isinstance(error, FileNotFoundError)
        what = "is missing" if missing else "cannot be read: it is truncated or was changed"
        raise InputError(f"{path} {what}") from None


def check_columns(path: Path, found: pa.Schema, schema: pa.Schema) -> None:
    """Raises InputError where a file has other columns than those of this version."""
    if not found.equals(schema):
        raise InputError(f"{path} does not have the columns of this version")


def _read_json(path: Path, kind: TypeAdapter[T]) -> T:
    try:
        return kind.validate_json(path.read_bytes())
    except OSError:
        raise InputError(f"{path} is missing; the run is not finished") from None
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        what = error.errors()[0]["msg"]
        raise InputError(f"{path} cannot be read: {where + ': ' if where else ''}{what}") from None


def _parse_episodes(path: Path, content: bytes) -> Iterator[Episode]:
    kind = TypeAdapter(Episode)
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            yield kind.validate_json(line)
        except ValidationError:
            raise InputError(f"{path}, line {number} is not an episode") from None


def _write_table(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary)
    os.replace(temporary, path)


def _stream(path: Path, parts: Iterable[Path], schema: pa.Schema) -> None:
    """Concatenate parquet parts in row groups of about ROWS_PER_GROUP rows."""
    temporary = path.with_name(f".{path.name}.tmp")
    with pq.ParquetWriter(temporary, schema) as writer:
        waiting: list[pa.Table] = []
        for part in parts:
            waiting.append(pq.read_table(part))
            if sum(len(table) for table in waiting) >= ROWS_PER_GROUP:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
    os.replace(temporary, path)
