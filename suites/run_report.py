"""The report of a run directory, with the titles and images of its catalogs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from ..envs.catalogs.catalog import Catalog
from ..envs.catalogs.load import load_catalog
from ..errors import InputError
from ..metrics.trace import Trace
from ..records import Manifest, Score
from .engine.run_directory.reader import read_manifest, read_scores
from .engine.run_directory.timings import read_timings
from .engine.traces import trace_reader
from .suite import suite_from_dict


def rewrite_report(path: str | Path) -> Path:
    """Write the report of a finished run again; raises InputError where it is not one."""
    path = Path(path)
    manifest = read_manifest(path)
    scores, timings = read_scores(path), read_timings(path)
    timed = TypeAdapter(list[Score]).validate_python(timings["scores"])
    traces = trace_reader(path, timings["episodes"])
    return write_run_report(path, manifest, [*scores, *timed], traces)


def write_run_report(
    path: Path, manifest: Manifest, scores: Sequence[Score], traces: Callable[[str], Trace]
) -> Path:
    """Write report.html into the run directory `path`; returns the path of the page."""
    from .report.page import Details, write_report

    suite = suite_from_dict(manifest.suite, "manifest.json: suite")
    tasks = {task.name: task for task in suite.tasks}
    unknown = {score.task for score in scores} - set(tasks)
    if unknown:
        what = f"{min(unknown)} is no task of the run"
        raise InputError(f"{path / 'scores.json'} was changed: {what}")

    def catalog(task: str) -> Catalog:
        return load_catalog(tasks[task].catalog)

    details = Details(
        title=lambda task, item: catalog(task).label(item),
        picture=lambda task, item: catalog(task).posters[item],
        tasks={name: task.summary for name, task in tasks.items()},
        simulated=sorted({name for task in tasks for name in catalog(task).simulated}),
    )
    return write_report(path, manifest, scores, traces, details)
