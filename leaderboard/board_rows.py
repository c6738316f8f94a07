"""The rows of a board: one flat row per run, and one per agent on hidden seeds."""

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
from .ranking import AgentReturns, Floats, mean_of, mean_return, ranks
from .store.database import Board, open_board
from .store.results import results
from .store.schema import Invalidation, Result, Submission
from .store.submissions import latest_events
from .verification.recomputed_scores import PRIMARY_METRIC

RankFrom = Literal["hidden-seed", "replayed"]
Accepted = tuple[Submission, Result, Invalidation | None]
"""An accepted submission with its result and its latest invalidation."""


@dataclass(frozen=True)
class _BoardEntry:
    """The content of one row: a run, or all attempts of one agent on hidden seeds.

    accepted  valid submissions of the row, or invalidated ones where there are no others
    copy_of   earlier run with the same slates
    """

    accepted: tuple[Accepted, ...]
    copy_of: int | None
    shared_task: str

    @property
    def submission(self) -> Submission:
        return self.accepted[0][0]

    @property
    def result(self) -> Result:
        return self.accepted[0][1]

    @property
    def hidden(self) -> bool:
        return self.result.track == "hidden-seed"

    @property
    def comparison_group(self) -> tuple[str, str, bool]:
        """Equal for rows that are ranked against each other."""
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
    """Return all accepted results of a board, best first, as flat rows of JSON values.

    rank_low, rank_high    best and worst rank that the data allow among the ranked rows of its
                           suite; None where `unranked` says why. Runs on public seeds do not
                           prove who chose the slates, so only hidden seeds are ranked
    id                     of the submission; of an agent's first attempt on hidden seeds
    agent, decoder, pair, owner, suite, submitted
    trust                  trust level of the scores; `<metric>_trust` for one metric
    attempts               number of attempts; on hidden seeds the row is their mean
    attempt_scores         score of every attempt, such as "#3 0.412, #7 0.398"; "" for runs
    tasks                  played / all, such as "1/5"
    unranked               why the row has no rank, or ""
    same_actions           earlier run with the same slates, or None
    simulator_trained      whether the submitter declares that the agent was trained on this
                           simulator; None for runs
    hardware               hardware declared by the submitter; times are comparable within one
                           class only
    invalidated_by         why the row no longer counts, or ""
    shared_task            first task of the suite that every one of its rows played
    <metric>, _low, _high  over all tasks that were played; normalized_return only where all
                           were, since rows would otherwise average different tasks
    <task>/<metric>, …     the same for each task, without the suite's name

    suite      only this suite id, such as quick@2
    rank_from  "replayed" ranks runs on public seeds too, for a private board whose users trust
               each other
    files      as in `open_board`, for a board that is not open yet

    Raises InputError where there is no board.
    """
    if rank_from not in get_args(RankFrom):
        raise InputError(f"--rank-from must be {' or '.join(get_args(RankFrom))}, not {rank_from}")
    with _opened(board, files) as opened:
        found = results(opened, suite)
        unscored = {
            _entrant(one)
            for one, last in latest_events(opened, "attempt")
            if last.state == "refused"
        }
    entries = list(_entries(found))
    reasons = {one.submission.id: _unranked(one, unscored, rank_from) for one in entries}
    ranked = [one for one in entries if not reasons[one.submission.id]]
    found_ranks: dict[int, tuple[int, int]] = {}
    for group in {one.comparison_group for one in ranked}:
        found_ranks |= _ranks(one for one in ranked if one.comparison_group == group)
    rows = [
        _row(one, reasons[one.submission.id], found_ranks.get(one.submission.id)) for one in entries
    ]
    return sorted(rows, key=_sort_key)


def _opened(board: str | Path | Board, files: str | Path | None) -> AbstractContextManager[Board]:
    return nullcontext(board) if isinstance(board, Board) else open_board(board, files=files)


def _entries(found: Sequence[Accepted]) -> Iterator[_BoardEntry]:
    """Yield one entry per run, and one for all attempts of an entrant at the same tasks."""
    first: dict[str, int] = {}
    groups: defaultdict[tuple[str, ...], list[Accepted]] = defaultdict(list)
    for one in found:
        submission, result, _ = one
        key: tuple[str, ...] = (f"{submission.id}",)
        if result.track == "hidden-seed":
            played = sorted({score["task"] for score in result.scores})
            key = (result.suite, result.suite_hash, *_entrant(submission), *played)
        else:
            first.setdefault(result.actions_digest, submission.id)
        groups[key].append(one)
    shared = {
        name: _shared_task(result for _, result, _ in found if result.suite == name)
        for name in {result.suite for _, result, _ in found}
    }
    for group in groups.values():
        submission, result, _ = group[0]
        earlier = first.get(result.actions_digest)
        copy = earlier if result.track == "replayed" and earlier != submission.id else None
        valid = tuple(one for one in group if one[2] is None)
        yield _BoardEntry(valid or tuple(group), copy, shared[result.suite])


def _entrant(attempt: Submission) -> tuple[str, ...]:
    """Identify owner, agent and configuration of an attempt."""
    about = attempt.about
    config = sha256(about["agent_config"])
    return (attempt.owner, about["agent"], about["decoder"], about["pair"], config)


def _unranked(entry: _BoardEntry, unscored: set[tuple[str, ...]], rank_from: RankFrom) -> str:
    """Return the first reason for which a row has no rank, or "".

    unscored  entrants with an attempt that was started and could not be scored
    """
    if entry.accepted[0][2] is not None:
        return "invalidated"
    if entry.result.privileged:
        return "privileged"
    if not entry.complete:
        return "tasks missing"
    if "+" in entry.result.suite:
        return "other numbers of users or seeds"
    if not entry.hidden and rank_from == "hidden-seed":
        return "public seeds"
    if entry.copy_of is not None:
        return "same slates as an earlier run"
    if entry.hidden and _entrant(entry.submission) in unscored:
        return "an attempt was not scored"
    return "" if _scored(entry) else "no score"


def _ranks(group: Iterable[_BoardEntry]) -> dict[int, tuple[int, int]]:
    """Map submission to its range of ranks among entries of one comparison group."""
    entries = {}
    for entry in group:
        users = f"attempt {entry.submission.id}"
        entries[entry.submission.id] = AgentReturns(
            tuple(_sums(result) for _, result, _ in entry.accepted),
            users if entry.hidden else entry.result.suite_hash,
        )
    return ranks(entries)


def _sums(result: Result) -> Floats:
    """(clusters, 2) achieved and achievable return, from which the primary metric follows."""
    return np.array(result.sums.get(PRIMARY_METRIC, []), dtype=np.float64).reshape(-1, 2)


def _scored(entry: _BoardEntry) -> bool:
    """Whether the primary metric is defined in every attempt."""
    return all(_sums(result)[:, 1].sum() > 0 for _, result, _ in entry.accepted)


def _row(entry: _BoardEntry, unranked: str, rank: tuple[int, int] | None) -> dict[str, Any]:
    submission, result, complete = entry.submission, entry.result, entry.complete
    played = {score["task"] for score in result.scores}
    invalidation = entry.accepted[0][2]
    declared = {
        name: [one.about.get(name) for one, _, _ in entry.accepted]
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
        "attempts": len(entry.accepted),
        "attempt_scores": ", ".join(_attempt_scores(entry)) if entry.hidden else "",
        "tasks": f"{len(played)}/{len(result.tasks)}",
        "unranked": unranked,
        "same_actions": entry.copy_of,
        "simulator_trained": any(declared["simulator_trained"]) if entry.hidden else None,
        "hardware": ", ".join(sorted(set(declared["hardware"]))) if entry.hidden else None,
        "invalidated_by": _invalidation_text(invalidation),
        "submitted": submission.created,
        "shared_task": entry.shared_task,
    }
    for (_, metric), rows in _by_metric(entry, "overall").items():
        if complete or metric != PRIMARY_METRIC:
            row |= _cells(metric, rows) | {f"{metric}_trust": result.trust[metric]}
    if complete and entry.hidden and _scored(entry):
        mean = mean_return(AgentReturns(tuple(_sums(one) for _, one, _ in entry.accepted), ""))
        if mean is not None:
            ends = {"value": mean.value, "low": mean.low, "high": mean.high}
            row |= _cells(PRIMARY_METRIC, [ends])
    for (task, metric), rows in {
        **_by_metric(entry, "scores"),
        **_by_metric(entry, "timed"),
    }.items():
        row |= _cells(f"{_short(task)}/{metric}", rows)
    return row


def _by_metric(entry: _BoardEntry, column: str) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Map (task, metric) to its score in every attempt that has one."""
    scores: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for _, result, _ in entry.accepted:
        for score in getattr(result, column):
            scores[score["task"], score["metric"]].append(score)
    return scores


def _cells(name: str, scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    value, low, high = mean_of([(one["value"], one["low"], one["high"]) for one in scores])
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _attempt_scores(entry: _BoardEntry) -> Iterator[str]:
    for submission, result, _ in entry.accepted:
        values = [one["value"] for one in result.overall if one["metric"] == PRIMARY_METRIC]
        value = f"{round(values[0], 3) + 0.0:.3f}" if values else "–"
        yield f"#{submission.id} {value}"


def _invalidation_text(invalidation: Invalidation | None) -> str:
    if invalidation is None:
        return ""
    replaced_by = invalidation.replaced_by
    return invalidation.reason + (f"; see #{replaced_by}" if replaced_by else "")


def _shared_task(found: Iterable[Result]) -> str:
    """Return the first task that all played, without its suite's name, or ""."""
    everywhere: list[str] | None = None
    for one in found:
        played = {score["task"] for score in one.scores}
        everywhere = [task for task in everywhere or one.tasks if task in played]
    return _short(everywhere[0]) if everywhere else ""


def _short(task: str) -> str:
    return task.rpartition("/")[2]


def _sort_key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Sort by suite, validity, hidden seeds first, score of the suite, score of the shared task."""
    keys = (row.get(PRIMARY_METRIC), row.get(f"{row['shared_task']}/{PRIMARY_METRIC}"))
    order = [-key if key is not None else float("inf") for key in keys]
    public = row["trust"] != "hidden-seed"
    return (row["suite"], bool(row["invalidated_by"]), public, *order, row["id"])
