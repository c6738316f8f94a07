"""The table that people compare: one flat row per run, and per agent on hidden seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..errors import InputError
from ..suites.serialization import sha256
from .ranking import Entry, Floats, mean_of, mean_return, ranks
from .store.database import Board, open_board
from .store.results import results
from .store.schema import Invalidation, Result, Submission
from .store.submissions import latest_events
from .verification.recomputed_scores import PRIMARY_METRIC

LOST = "refused"
RankFrom = Literal["hidden-seed", "replayed"]
Kept = tuple[Submission, Result, Invalidation | None]


@dataclass(frozen=True)
class _Line:
    """What stands in one row: a run, or all attempts of one agent on hidden seeds."""

    kept: tuple[Kept, ...]
    copy_of: int | None
    shared_task: str

    @property
    def submission(self) -> Submission:
        return self.kept[0][0]

    @property
    def result(self) -> Result:
        return self.kept[0][1]

    @property
    def hidden(self) -> bool:
        return self.result.track == "hidden-seed"

    @property
    def field(self) -> tuple[str, str, bool]:
        """Equal for lines that are ranked among each other."""
        return (self.result.suite, self.result.suite_hash, self.hidden)

    @property
    def complete(self) -> bool:
        played = {score["task"] for score in self.result.scores}
        return played == set(self.result.tasks)


def board_rows(
    board: str | Path | Board,
    suite: str | None = None,
    *,
    rank_from: RankFrom = "hidden-seed",
    files: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Everything believed so far, best first, as flat rows of JSON values.

    rank_low, rank_high    the ranks that the data leave it among the rows of its suite that are
                           ranked; None where `unranked` says why. Public seeds prove arithmetic,
                           not authorship, so only play on hidden seeds is ranked
    id                     of the submission; of an agent's first attempt on hidden seeds
    agent, decoder, pair, owner, suite, submitted
    trust                  how far the scores are believed; `<metric>_trust` says it per metric
    attempts               how often it played; on hidden seeds all count, and the mean is shown
    each                   the score of every attempt, such as "#3 0.412, #7 0.398"; "" for runs
    tasks                  played / all, such as "1/5"
    unranked               why the row has no rank, or ""
    same_actions           earlier run whose agent showed the same slates, or None
    simulator_trained      what the submitter says: whether the agent was trained on this
                           simulator; None for runs
    hardware               what the submitter says it ran on; times compare within one class only
    invalidated_by         why the row counts no longer, or ""
    shared_task            the suite's first task that every one of its rows played
    <metric>, _low, _high  over all tasks that were played; normalized_return only where all
                           were, since it would compare different worlds
    <task>/<metric>, …     the same for each task, without the suite's name before it

    suite      only this suite id, such as quick@2
    rank_from  replayed ranks runs on public seeds too: for a private board among people who
               trust each other
    files      as in `open_board`, for a board that is not open

    Raises InputError where there is no board.
    """
    if rank_from not in get_args(RankFrom):
        raise InputError(f"--rank-from must be {' or '.join(get_args(RankFrom))}, not {rank_from}")
    with _opened(board, files) as opened:
        found = results(opened, suite)
        lost = {
            _player(one) for one, last in latest_events(opened, "attempt") if last.state == LOST
        }
    lines = list(_lines(found))
    why = {line.submission.id: _unranked(line, lost, rank_from) for line in lines}
    ranked = [line for line in lines if not why[line.submission.id]]
    places: dict[int, tuple[int, int]] = {}
    for field in {line.field for line in ranked}:
        places |= _ranked(line for line in ranked if line.field == field)
    rows = [_row(line, why[line.submission.id], places.get(line.submission.id)) for line in lines]
    return sorted(rows, key=_standing)


def _opened(board: str | Path | Board, files: str | Path | None) -> AbstractContextManager[Board]:
    return nullcontext(board) if isinstance(board, Board) else open_board(board, files=files)


def _lines(found: Sequence[Kept]) -> Iterator[_Line]:
    """One line a run, and one for all attempts of a player at the same tasks of a suite."""
    first: dict[str, int] = {}
    together: defaultdict[tuple[str, ...], list[Kept]] = defaultdict(list)
    for kept in found:
        submission, result, _ = kept
        key: tuple[str, ...] = (f"{submission.id}",)
        if result.track == "hidden-seed":
            played = sorted({score["task"] for score in result.scores})
            key = (result.suite, result.suite_hash, *_player(submission), *played)
        else:
            first.setdefault(result.actions_digest, submission.id)
        together[key].append(kept)
    shared = {
        name: _shared_task(result for _, result, _ in found if result.suite == name)
        for name in {result.suite for _, result, _ in found}
    }
    for group in together.values():
        submission, result, _ = group[0]
        earlier = first.get(result.actions_digest)
        copy = earlier if result.track == "replayed" and earlier != submission.id else None
        valid = tuple(kept for kept in group if kept[2] is None)
        yield _Line(valid or tuple(group), copy, shared[result.suite])


def _player(attempt: Submission) -> tuple[str, ...]:
    """Whose attempt it is, and with what."""
    said = attempt.about
    config = sha256(said["agent_config"])
    return (attempt.owner, said["agent"], said["decoder"], said["pair"], config)


def _unranked(line: _Line, lost: set[tuple[str, ...]], rank_from: RankFrom) -> str:
    """The gravest of the reasons for which a row has no rank.

    lost  players of whose attempts one was begun, and could not be scored
    """
    if line.kept[0][2] is not None:
        return "invalidated"
    if line.result.privileged:
        return "privileged"
    if not line.complete:
        return "tasks missing"
    if "+" in line.result.suite:
        return "other numbers of users or seeds"
    if not line.hidden and rank_from == "hidden-seed":
        return "public seeds"
    if line.copy_of is not None:
        return "same slates as an earlier run"
    if line.hidden and _player(line.submission) in lost:
        return "an attempt was not scored"
    return "" if _scored(line) else "no score"


def _ranked(lines: Iterable[_Line]) -> dict[int, tuple[int, int]]:
    """Submission -> rank group among lines of one suite and level of trust."""
    entries = {}
    for line in lines:
        own = f"attempt {line.submission.id}"
        entries[line.submission.id] = Entry(
            tuple(_sums(result) for _, result, _ in line.kept),
            own if line.hidden else line.result.suite_hash,
        )
    return ranks(entries)


def _sums(result: Result) -> Floats:
    """The pairs (clusters, 2) behind the headline."""
    return np.array(result.sums.get(PRIMARY_METRIC, []), dtype=np.float64).reshape(-1, 2)


def _scored(line: _Line) -> bool:
    """Whether the headline is defined in every attempt."""
    return all(_sums(result)[:, 1].sum() > 0 for _, result, _ in line.kept)


def _row(line: _Line, unranked: str, rank: tuple[int, int] | None) -> dict[str, Any]:
    submission, result, complete = line.submission, line.result, line.complete
    played = {score["task"] for score in result.scores}
    wrong = line.kept[0][2]
    said = {
        name: [one.about.get(name) for one, _, _ in line.kept]
        for name in ("simulator_trained", "hardware")
    }
    row = {
        "rank_low": rank[0] if rank else None,
        "rank_high": rank[1] if rank else None,
        "id": submission.id,
        "agent": result.agent,
        "decoder": result.decoder,
        "pair": result.pair,
        "owner": submission.owner,
        "suite": result.suite,
        "trust": result.trust[PRIMARY_METRIC],
        "attempts": len(line.kept),
        "each": ", ".join(_each(line)) if line.hidden else "",
        "tasks": f"{len(played)}/{len(result.tasks)}",
        "unranked": unranked,
        "same_actions": line.copy_of,
        "simulator_trained": any(said["simulator_trained"]) if line.hidden else None,
        "hardware": ", ".join(sorted(set(said["hardware"]))) if line.hidden else None,
        "invalidated_by": _erratum(wrong),
        "submitted": submission.created,
        "shared_task": line.shared_task,
    }
    for (_, metric), rows in _by(line, "overall").items():
        if complete or metric != PRIMARY_METRIC:
            row |= _cells(metric, rows) | {f"{metric}_trust": result.trust[metric]}
    if complete and line.hidden and _scored(line):
        mean = mean_return(Entry(tuple(_sums(one) for _, one, _ in line.kept), ""))
        if mean is not None:
            ends = {"value": mean.value, "low": mean.low, "high": mean.high}
            row |= _cells(PRIMARY_METRIC, [ends])
    for (task, metric), rows in {**_by(line, "scores"), **_by(line, "clocked")}.items():
        row |= _cells(f"{_short(task)}/{metric}", rows)
    return row


def _by(line: _Line, column: str) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """(task, metric) -> its score in every attempt that has one."""
    scores: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for _, result, _ in line.kept:
        for score in getattr(result, column):
            scores[score["task"], score["metric"]].append(score)
    return scores


def _cells(name: str, scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    value, low, high = mean_of([(one["value"], one["low"], one["high"]) for one in scores])
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _each(line: _Line) -> Iterator[str]:
    for submission, result, _ in line.kept:
        values = [one["value"] for one in result.overall if one["metric"] == PRIMARY_METRIC]
        shown = f"{round(values[0], 3) + 0.0:.3f}" if values else "–"
        yield f"#{submission.id} {shown}"


def _erratum(wrong: Invalidation | None) -> str:
    if wrong is None:
        return ""
    return wrong.reason + (f"; see #{wrong.replaced_by}" if wrong.replaced_by else "")


def _shared_task(found: Iterable[Result]) -> str:
    """Without its suite's name; "" where no task was played by all."""
    everywhere: list[str] | None = None
    for one in found:
        played = {score["task"] for score in one.scores}
        everywhere = [task for task in everywhere or one.tasks if task in played]
    return _short(everywhere[0]) if everywhere else ""


def _short(task: str) -> str:
    return task.rpartition("/")[2]


def _standing(row: dict[str, Any]) -> tuple[Any, ...]:
    """By suite; ranked rows first; then the whole suite's score, then that of the shared task."""
    keys = (row.get(PRIMARY_METRIC), row.get(f"{row['shared_task']}/{PRIMARY_METRIC}"))
    order = [-key if key is not None else float("inf") for key in keys]
    hidden = row["trust"] != "hidden-seed"
    return (row["suite"], bool(row["invalidated_by"]), hidden, *order, row["id"])
