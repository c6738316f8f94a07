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
    metrics = [METRICS.get(name) for name in METRICS]
    rows = []
    for task in tasks:
        part = trace.of(task)
        for metric in metrics:
            if metric.clocked != clocked:
                continue
            found = metric.estimate(part)
            if found is not None:
                rows.append(
                    Score(
                        task,
                        metric.name,
                        found.value,
                        found.low,
                        found.high,
                        found.n,
                        metric.unit,
                        metric.direction,
                    )
                )
    return rows
