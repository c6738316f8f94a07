"""Apply all metrics to all tasks: the rows of scores.json and of the scores in timings.json."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Score
from . import METRICS
from .trace import Trace


def score(trace: Trace, tasks: Sequence[str], *, timed: bool) -> list[Score]:
    """One row for every task, in the given order, and every metric that applies to it.

    timed  False for the numbers that a replay reproduces bit for bit (scores.json), True for
             those that depend on a wall clock (timings.json)
    """
    return [row for task in tasks for row in score_task(trace.of_task(task), task, timed=timed)]


def score_task(trace: Trace, task: str, *, timed: bool) -> list[Score]:
    """The rows of one task, from the trace of that task alone."""
    rows = []
    for metric in (METRICS.get(name) for name in METRICS):
        found = metric.estimate(trace) if metric.timed == timed else None
        if found is not None:
            numbers = (found.value, found.low, found.high, found.n)
            rows.append(Score(task, metric.name, *numbers, metric.unit, metric.direction))
    return rows
