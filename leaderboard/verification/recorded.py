"""A finished run directory as plain rows, read without trusting any of its files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from ...errors import InputError
from ...records import Episode, Manifest, Score
from ...suites.rundir import (
    GENERATIONS,
    KEY_FIELDS,
    STEPS,
    LifeTimings,
    key_of,
    read_episodes,
    read_manifest,
    read_scores,
    read_table,
    read_timings,
)
from ...suites.runner.executors import AGENT, TWIN, policies
from ...suites.runner.life import Key
from ...suites.suite import Suite, Task
from . import refusal
from .refusal import Refused

Row = dict[str, Any]
KEY = tuple(name for name, _ in KEY_FIELDS)


@dataclass(frozen=True)
class RecordedLife:
    """What a run directory says about one life.

    steps   rows of steps.parquet without their key, in file order
    rounds  rows of generations.parquet without their key, in file order
    """

    episode: Episode
    steps: Sequence[Row]
    rounds: Sequence[Row]


@dataclass(frozen=True)
class RecordedRun:
    """All files of a run directory that a verdict rests on, each with a valid schema."""

    manifest: Manifest
    episodes: list[Episode]
    steps: list[Row]
    generations: list[Row]
    scores: list[Score]
    clocked: list[Score]
    timings: list[LifeTimings]


def read_run(path: Path) -> RecordedRun:
    """Read a finished run directory; raises Refused, naming the file that cannot be believed."""
    try:
        timings = read_timings(path)
        return RecordedRun(
            manifest=read_manifest(path),
            episodes=read_episodes(path),
            steps=_rows(path / "steps.parquet", STEPS),
            generations=_rows(path / "generations.parquet", GENERATIONS),
            scores=read_scores(path),
            clocked=_parse(timings["scores"], list[Score], "scores"),
            timings=_parse(timings["lives"], list[LifeTimings], "lives"),
        )
    except InputError as error:
        raise Refused(str(error)) from None


def lives_of(run: RecordedRun, suite: Suite, tasks: Iterable[Task]) -> dict[Key, RecordedLife]:
    """Every life that `tasks` consist of, in playing order, and nothing else.

    Raises Refused for a missing, repeated or foreign life in any of the files.
    """
    due = [
        (task.name, seed, user, policy)
        for task in tasks
        for seed, user in task.lives(suite.seeds)
        for policy in policies(task)
    ]
    _check_episodes(due, [key_of(episode) for episode in run.episodes])
    episodes = {key_of(episode): episode for episode in run.episodes}
    steps = _by_life("steps.parquet", run.steps, set(due))
    rounds = _by_life(
        "generations.parquet", run.generations, {key for key in due if key[3] in (AGENT, TWIN)}
    )
    return {key: RecordedLife(episodes[key], steps[key], rounds[key]) for key in due}


def check_timings(timings: Sequence[LifeTimings], lives: dict[Key, RecordedLife]) -> None:
    """Raise Refused unless every turn of every life has one wall time, and nothing else has."""
    found = {(one.task, one.seed, one.user, one.policy): one.decisions for one in timings}
    if len(found) != len(timings) or set(found) != set(lives):
        raise Refused("timings.json: lives are not those of episodes.jsonl")
    for key, life in lives.items():
        seconds, where = found[key], refusal.life(key)
        if len(seconds) != len(life.steps):
            what = f"{len(seconds)} decisions for {len(life.steps)} turns"
            raise Refused(f"timings.json: {where} has {what}")
        if not all(isfinite(one) and one >= 0 for one in seconds):
            raise Refused(f"timings.json: {where} has an impossible decision time")


def _rows(path: Path, schema: pa.Schema) -> list[Row]:
    table = read_table(path, schema)
    try:
        table.validate(full=True)
    except pa.ArrowException:
        raise Refused(f"{path} cannot be read: it was changed") from None
    for name, column in zip(table.column_names, table.columns, strict=True):
        inner = pc.list_flatten(column) if pa.types.is_list(column.type) else column
        parts = inner.flatten() if pa.types.is_struct(inner.type) else [inner]
        if any(part.null_count for part in (column, inner, *parts)):
            raise Refused(f"{path} has an empty value in column {name}")
    rows: list[Row] = table.to_pylist()
    return rows


def _parse(value: Any, kind: Any, where: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        what = error.errors()[0]["msg"]
        raise Refused(f"timings.json: {where}.{place}: {what}") from None


def _check_episodes(due: list[Key], found: list[Key]) -> None:
    known, count = set(due), Counter(found)
    for key in due:
        if count[key] == 0:
            raise Refused(f"episodes.jsonl: {_episode(key)} is missing")
        if count[key] > 1:
            raise Refused(f"episodes.jsonl: {_episode(key)} is there {count[key]} times")
    for key in found:
        if key not in known:
            raise Refused(f"episodes.jsonl: {_episode(key)} is no part of this run")


def _episode(key: Key) -> str:
    task, seed, user, policy = key
    return f"episode {task} seed {seed} user {user} policy {policy}"


def _by_life(file: str, rows: list[Row], known: set[Key]) -> dict[Key, list[Row]]:
    """Rows without their key, grouped by it; an unknown life has no rows."""
    grouped: defaultdict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        key: Key = (row["task"], row["seed"], row["user"], row["policy"])
        if key not in known:
            where = refusal.turn(key, row["session"], row["turn"])
            raise Refused(f"{file}: {where} is no part of this run")
        grouped[key].append({name: value for name, value in row.items() if name not in KEY})
    return grouped
