"""A finished run directory, read without trusting any of its files, and a task at a time."""

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
from . import rejection
from .recorded_table import RecordedTable
from .rejection import VerificationError
from .strict_json import check_json

Row = dict[str, Any]
TEXTS = ("manifest.json", "episodes.jsonl", "timings.json", "scores.json")


@dataclass(frozen=True)
class RecordedEpisode:
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

    path: Path
    manifest: Manifest
    episodes: list[Episode]
    steps: RecordedTable
    generations: RecordedTable
    scores: list[Score]
    clocked: list[Score]
    timings: list[EpisodeTimings]


def read_run(path: Path) -> RecordedRun:
    """Read a finished run directory; VerificationError names the file that is wrong."""
    try:
        for name in TEXTS:
            if (path / name).exists():
                check_json(path / name)
        timings = read_timings(path)
        return RecordedRun(
            path=path,
            manifest=read_manifest(path),
            episodes=read_episodes(path),
            steps=RecordedTable(path / "steps.parquet", STEPS),
            generations=RecordedTable(path / "generations.parquet", GENERATIONS),
            scores=read_scores(path),
            clocked=_parse(timings["scores"], list[Score], "scores"),
            timings=_parse(timings["episodes"], list[EpisodeTimings], "episodes"),
        )
    except InputError as error:
        raise VerificationError(str(error).replace(f"{path}/", "")) from None


class RecordedEpisodes(Mapping[EpisodeKey, RecordedEpisode]):
    """The lives of a run in playing order; in memory are those of the task asked for last."""

    def __init__(self, run: RecordedRun, due: Sequence[EpisodeKey]) -> None:
        self._due = due
        self._episodes = {episode.key: episode for episode in run.episodes}
        self._steps = _RowsByEpisode(run.steps, set(due))
        rounds = {key for key in due if key[3] in (AGENT, COUNTERFACTUAL)}
        self._rounds = _RowsByEpisode(run.generations, rounds)

    def __getitem__(self, key: EpisodeKey) -> RecordedEpisode:
        return RecordedEpisode(self._episodes[key], self._steps.of(key), self._rounds.of(key))

    def __iter__(self) -> Iterator[EpisodeKey]:
        return iter(self._due)

    def __len__(self) -> int:
        return len(self._due)


def recorded_episodes(run: RecordedRun, suite: Suite, tasks: Iterable[Task]) -> RecordedEpisodes:
    """Every life that `tasks` consist of, in playing order, and nothing else.

    Raises VerificationError, now or on access, for an episode that is missing, repeated or not
    part of the suite, in any of the files.
    """
    found = [episode.key for episode in run.episodes]
    try:
        due = [
            (task.name, seed, user, policy)
            for task in tasks
            for seed, user in task.episodes(suite.seeds)
            for policy in task.policies
        ]
    except InputError as error:
        raise VerificationError(f"manifest.json: {error}") from None
    _check_episodes(due, found)
    return RecordedEpisodes(run, due)


def check_timings(
    timings: Sequence[EpisodeTimings], lives: Mapping[EpisodeKey, RecordedEpisode]
) -> None:
    """Raise VerificationError unless there is exactly one wall time for every turn."""
    found = {(one.task, one.seed, one.user, one.policy): one.decisions for one in timings}
    if len(found) != len(timings) or set(found) != set(lives):
        raise VerificationError("timings.json: episodes are not those of episodes.jsonl")
    for key, life in lives.items():
        seconds, where = found[key], rejection.episode_name(key)
        if len(seconds) != len(life.steps):
            what = f"{len(seconds)} decisions for {len(life.steps)} turns"
            raise VerificationError(f"timings.json: {where} has {what}")
        if not all(isfinite(one) and one >= 0 for one in seconds):
            raise VerificationError(f"timings.json: {where} has an impossible decision time")


class _RowsByEpisode:
    """The rows of a table by life, those of one task at a time; an unknown life has none."""

    def __init__(self, rows: RecordedTable, known: set[EpisodeKey]) -> None:
        self._rows, self._known = rows, known
        self._task: str | None = None
        self._table = pa.table({})
        self._places: dict[EpisodeKey, NDArray[np.int64]] = {}
        tasks = {task for task, *_ in known}
        for task in rows.tasks:
            if task not in tasks:
                self._open(task)

    def of(self, key: EpisodeKey) -> list[Row]:
        """The rows of one life without their key, in file order."""
        if key[0] != self._task:
            self._open(key[0])
        places = self._places.get(key)
        rows: list[Row] = [] if places is None else self._table.take(places).to_pylist()
        return rows

    def _open(self, task: str) -> None:
        table = self._rows.of(task)
        self._table, self._task = table.drop_columns(list(KEY_COLUMNS)), task
        self._places = _places(table, task)
        for key, places in self._places.items():
            if key not in self._known:
                first = self._table.slice(places[0], 1).to_pylist()[0]
                where = rejection.turn_name(key, first["session"], first["turn"])
                raise VerificationError(f"{self._rows.name}: {where} is no part of this run")


def _places(table: pa.Table, task: str) -> dict[EpisodeKey, NDArray[np.int64]]:
    """Life -> the places of its rows, ascending."""
    if not len(table):
        return {}
    policies_ = pc.dictionary_encode(table["policy"]).combine_chunks()
    columns = [table["seed"].to_numpy(), table["user"].to_numpy(), policies_.indices.to_numpy()]
    order = np.lexsort(columns)
    sorted_ = np.array([column[order] for column in columns])
    starts = np.flatnonzero(np.r_[True, (sorted_[:, 1:] != sorted_[:, :-1]).any(axis=0)])
    names = policies_.dictionary.to_pylist()
    lives = ((task, int(s), int(u), names[int(p)]) for s, u, p in sorted_[:, starts].T)
    return dict(zip(lives, np.split(order, starts[1:]), strict=True))


def _parse(value: Any, kind: Any, where: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        what = error.errors()[0]["msg"]
        raise VerificationError(f"timings.json: {where}.{place}: {what}") from None


def _check_episodes(due: list[EpisodeKey], found: list[EpisodeKey]) -> None:
    known, count = set(due), Counter(found)
    for key in due:
        if count[key] == 0:
            raise VerificationError(f"episodes.jsonl: {_episode(key)} is missing")
        if count[key] > 1:
            raise VerificationError(f"episodes.jsonl: {_episode(key)} is there {count[key]} times")
    for key in found:
        if key not in known:
            raise VerificationError(f"episodes.jsonl: {_episode(key)} is no part of this run")


def _episode(key: EpisodeKey) -> str:
    task, seed, user, policy = key
    return f"episode {task} seed {seed} user {user} policy {policy}"
