"""All metrics of all tasks: the rows of scores.json."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Score
from . import METRICS
from .trace import Trace


def score(trace: Trace, tasks: Sequence[str], *, clocked: bool) -> list[Score]:
    """One row for every task, in the given order, and every metric that applies to it.

    clocked  False for the numbers that replay reproduces bit for bit (scores.json), True for
             those that a wall clock touched (timings.json); never both in one list.
    """
    return [row for task in tasks for row in score_task(trace.of(task), task, clocked=clocked)]


def score_task(trace: Trace, task: str, *, clocked: bool) -> list[Score]:
    """The rows of one task, given its trace: a long run is scored a task at a time."""
    rows = []
    for metric in (METRICS.get(name) for name in METRICS):
        found = metric.estimate(trace) if metric.clocked == clocked else None
        if found is not None:
            how = (metric.unit, metric.direction)
            rows.append(Score(task, metric.name, found.value, found.low, found.high, found.n, *how))
    return rows
