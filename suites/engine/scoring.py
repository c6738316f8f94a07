"""Scoring a run directory, and marking it finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...metrics.scoring import score_task
from ...metrics.trace import Trace
from ...records import Score
from .run_directory.writer import RunDirectory
from .traces import trace_reader

ReportWriter = Callable[[Sequence[Score], Callable[[str], Trace]], object]
"""Called with all scores and a function from the name of a task to its trace."""


def score_and_finish(
    run: RunDirectory, tasks: Iterable[str], write_report: ReportWriter | None = None
) -> None:
    """Gather the episodes of a run, score them task by task, and write scores.json last.

    tasks         names in the order of their scores
    write_report  writes report.html from the scores; None for a run without a report
    """
    timings = run.gather()
    traces = trace_reader(run.path, timings)
    scores: list[Score] = []
    timed: list[Score] = []
    for task in tasks:
        trace = traces(task)
        scores += score_task(trace, task, timed=False)
        timed += score_task(trace, task, timed=True)
    if write_report is not None:
        write_report([*scores, *timed], traces)
    run.finish(timings, scores, timed)
