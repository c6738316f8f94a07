"""The table that people compare: one flat row per submission."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .store import Submission, open_board

HEADLINE = "normalised_return"
ENDS = ("", "_low", "_high")


def board_rows(board: str | Path, suite: str | None = None) -> list[dict[str, Any]]:
    """Every submission to `board`, best first, as flat rows of JSON values.

    rank_low, rank_high    None: public seeds prove arithmetic, not authorship, so only play on
                           hidden seeds is ranked
    id, agent, decoder, pair, suite, submitted
    trust                  how far the scores are believed; `<metric>_trust` says it per metric
    tasks                  played / all, such as "1/5"
    unranked               why the row has no rank
    same_actions           earlier submission whose agent showed the same slates, or None
    shared_task            the suite's first task that every one of its submissions played
    <metric>, _low, _high  over all tasks that were played; normalised_return only where all
                           were, since it would compare different worlds
    <task>/<metric>, …     the same for each task, without the suite's name before it

    suite  only submissions to this suite id, such as quick@2

    Raises InputError where there is no board.
    """
    with open_board(board) as opened:
        found = opened.submissions(suite)
    first: dict[str, int] = {}
    for one in found:
        first.setdefault(one.actions_digest, one.id)
    shared = {
        name: _shared_task(one for one in found if one.suite == name)
        for name in {one.suite for one in found}
    }
    rows = [_row(one, first[one.actions_digest], shared[one.suite]) for one in found]
    return sorted(rows, key=_standing)


def _row(one: Submission, first: int, shared: str) -> dict[str, Any]:
    played = {score["task"] for score in one.scores}
    complete = played == set(one.tasks)
    row = {
        "rank_low": None,
        "rank_high": None,
        "id": one.id,
        "agent": one.agent,
        "decoder": one.decoder,
        "pair": one.pair,
        "suite": one.suite,
        "trust": one.trust[HEADLINE],
        "tasks": f"{len(played)}/{len(one.tasks)}",
        "unranked": _unranked(one, complete),
        "same_actions": first if first != one.id else None,
        "submitted": one.submitted,
        "shared_task": shared,
    }
    for score in one.overall:
        if complete or score["metric"] != HEADLINE:
            row |= _cells(score["metric"], score)
            row[f"{score['metric']}_trust"] = one.trust[score["metric"]]
    for score in (*one.scores, *one.clocked):
        row |= _cells(f"{_short(score['task'])}/{score['metric']}", score)
    return row


def _cells(name: str, score: dict[str, Any]) -> dict[str, Any]:
    return {name: score["value"], f"{name}_low": score["low"], f"{name}_high": score["high"]}


def _unranked(one: Submission, complete: bool) -> str:
    """The gravest of the reasons for which a submission has no rank."""
    if one.privileged:
        return "privileged"
    if not complete:
        return "tasks missing"
    return "other numbers of users or seeds" if "+" in one.suite else "public seeds"


def _shared_task(submissions: Iterable[Submission]) -> str:
    """Without its suite's name; "" where no task was played by all."""
    everywhere: list[str] | None = None
    for one in submissions:
        played = {score["task"] for score in one.scores}
        everywhere = [task for task in everywhere or one.tasks if task in played]
    return _short(everywhere[0]) if everywhere else ""


def _short(task: str) -> str:
    return task.rpartition("/")[2]


def _standing(row: dict[str, Any]) -> tuple[Any, ...]:
    """By suite, then the whole suite's score, then that of the shared task, best first."""
    keys = (row.get(HEADLINE), row.get(f"{row['shared_task']}/{HEADLINE}"))
    return (row["suite"], *(-key if key is not None else float("inf") for key in keys), row["id"])
