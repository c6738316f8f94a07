"""Read an untrusted run directory, one task in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from ...errors import InputError
from ...records import AGENT, COUNTERFACTUAL, KEY_COLUMNS, Episode, EpisodeKey, Manifest, Score
from ...suites.engine.run_directory.reader import read_episodes, read_manifest, read_scores
from ...suites.engine.run_directory.schema import GENERATIONS, STEPS
from ...suites.engine.run_directory.timings import EpisodeTimings, read_timings
from ...suites.suite import Suite, Task
from .. import rejection
from ..rejection import VerificationError
from .recorded_table import RecordedTable
from .strict_json import check_json

Row = dict[str, Any]
JSON_FILES = ("manifest.json", "episodes.jsonl", "timings.json", "scores.json")


@dataclass(frozen=True)
class RecordedEpisode:
    """Everything that a run directory holds of one episode.

    steps   rows of steps.parquet without the key columns, in file order
    rounds  rows of generations.parquet without the key columns, in file order
    """

    episode: Episode
    steps: Sequence[Row]
    rounds: Sequence[Row]


@dataclass(frozen=True)
class RecordedRun:
    """The files of a run directory that verification needs, each with a valid schema."""

    path: Path
    manifest: Manifest
    episodes: list[Episode]
    steps: RecordedTable
    generations: RecordedTable
    scores: list[Score]
    timed: list[Score]
    timings: list[EpisodeTimings]


def read_run(path: Path) -> RecordedRun:
    """Read a finished run directory; VerificationError names the file that is wrong."""
    try:
        for name in JSON_FILES:
            if (path / name).exists():
                check_json(path / name)
        manifest = read_manifest(path)
        timings = read_timings(path)
        return RecordedRun(
            path=path,
            manifest=manifest,
            episodes=read_episodes(path),
            steps=RecordedTable(path / "steps.parquet", STEPS),
            generations=RecordedTable(path / "generations.parquet", GENERATIONS),
            scores=read_scores(path),
            timed=_parse(timings["scores"], list[Score], "scores"),
            timings=_parse(timings["episodes"], list[EpisodeTimings], "episodes"),
        )
    except InputError as error:
        raise VerificationError(
            str(error).replace(f"{path}/", "").replace(f"{path} ", "the run ")
        ) from None


class RecordedEpisodes(Mapping[EpisodeKey, RecordedEpisode]):
    """Mapping from key to recorded episode, in playing order; one task is in memory at a time."""

    def __init__(self, run: RecordedRun, expected: Sequence[EpisodeKey]) -> None:
        self._expected = expected
        self._episodes = {episode.key: episode for episode in run.episodes}
        self._steps = _RowsByEpisode(run.steps, set(expected))
        rounds = {key for key in expected if key[3] in (AGENT, COUNTERFACTUAL)}
        self._rounds = _RowsByEpisode(run.generations, rounds)

    def __getitem__(self, key: EpisodeKey) -> RecordedEpisode:
        return RecordedEpisode(self._episodes[key], self._steps.of(key), self._rounds.of(key))

    def __iter__(self) -> Iterator[EpisodeKey]:
        return iter(self._expected)

    def __len__(self) -> int:
        return len(self._expected)


def recorded_episodes(run: RecordedRun, suite: Suite, tasks: Iterable[Task]) -> RecordedEpisodes:
    """Return exactly the episodes that `tasks` consist of, in playing order.

    Raises VerificationError, now or on access, for an episode that is missing, repeated or not
    part of the suite, in any of the files.
    """
    found = [episode.key for episode in run.episodes]
    try:
        expected = [
            (task.name, seed, user, policy)
            for task in tasks
            for seed, user in task.episodes(suite.seeds)
            for policy in task.policies
        ]
    except InputError as error:
        raise VerificationError(f"manifest.json: {error}") from None
    _check_episodes(expected, found)
    return RecordedEpisodes(run, expected)


def check_timings(
    timings: Sequence[EpisodeTimings], episodes: Mapping[EpisodeKey, RecordedEpisode]
) -> None:
    """Raise VerificationError unless there is exactly one wall time for every turn."""
    found = {(one.task, one.seed, one.user, one.policy): one.decisions for one in timings}
    if len(found) != len(timings) or set(found) != set(episodes):
        raise VerificationError("timings.json: episodes are not those of episodes.jsonl")
    for key, recorded in episodes.items():
        seconds, where = found[key], rejection.episode_name(key)
        if len(seconds) != len(recorded.steps):
            what = f"{len(seconds)} decisions for {len(recorded.steps)} turns"
            raise VerificationError(f"timings.json: {where} has {what}")
        if not all(isfinite(one) and one >= 0 for one in seconds):
            raise VerificationError(
                f"timings.json: {where} has a decision time that is negative or not finite"
            )


class _RowsByEpisode:
    """The rows of a table grouped by episode; empty for an episode without rows.

    Rows of one task are in memory at a time. Raises VerificationError for rows of episodes that
    are not `known`.
    """

    def __init__(self, rows: RecordedTable, known: set[EpisodeKey]) -> None:
        self._rows, self._known = rows, known
        self._task: str | None = None
        self._table = pa.table({})
        self._indices: dict[EpisodeKey, NDArray[np.int64]] = {}
        tasks = {task for task, *_ in known}
        for task in rows.tasks:
            if task not in tasks:
                self._load(task)

    def of(self, key: EpisodeKey) -> list[Row]:
        """Return the rows of one episode without the key columns, in file order."""
        if key[0] != self._task:
            self._load(key[0])
        indices = self._indices.get(key)
        rows: list[Row] = [] if indices is None else self._table.take(indices).to_pylist()
        return rows

    def _load(self, task: str) -> None:
        table = self._rows.of(task)
        self._table, self._task = table.drop_columns(list(KEY_COLUMNS)), task
        self._indices = _row_indices(table, task)
        for key, indices in self._indices.items():
            if key not in self._known:
                first = self._table.slice(indices[0], 1).to_pylist()[0]
                where = rejection.turn_name(key, first["session"], first["turn"])
                raise VerificationError(f"{self._rows.name}: {where} is not part of this run")


def _row_indices(table: pa.Table, task: str) -> dict[EpisodeKey, NDArray[np.int64]]:
    """Map each episode to the ascending indices of its rows."""
    if not len(table):
        return {}
    policy = pc.dictionary_encode(table["policy"]).combine_chunks()
    columns = [table["seed"].to_numpy(), table["user"].to_numpy(), policy.indices.to_numpy()]
    order = np.lexsort(columns)
    ordered = np.array([column[order] for column in columns])
    starts = np.flatnonzero(np.r_[True, (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)])
    names = policy.dictionary.to_pylist()
    keys = ((task, int(s), int(u), names[int(p)]) for s, u, p in ordered[:, starts].T)
    return dict(zip(keys, np.split(order, starts[1:]), strict=True))


def _parse(value: Any, kind: Any, where: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        location = ".".join(str(part) for part in error.errors()[0]["loc"])
        what = error.errors()[0]["msg"]
        raise VerificationError(f"timings.json: {where}.{location}: {what}") from None


def _check_episodes(expected: list[EpisodeKey], found: list[EpisodeKey]) -> None:
    known, count = set(expected), Counter(found)
    for key in expected:
        if count[key] == 0:
            raise VerificationError(f"episodes.jsonl: {_episode(key)} is missing")
        if count[key] > 1:
            raise VerificationError(f"episodes.jsonl: {_episode(key)} occurs {count[key]} times")
    for key in found:
        if key not in known:
            raise VerificationError(f"episodes.jsonl: {_episode(key)} is not part of this run")


def _episode(key: EpisodeKey) -> str:
    task, seed, user, policy = key
    return f"episode {task} seed {seed} user {user} policy {policy}"
