"""Recompute every score of a run from its verified steps and compare it with the submitted one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...metrics import FAMILIES, METRICS
from ...metrics.scoring import score_task
from ...metrics.trace import ClusterBy, Trace
from ...records import AGENT, Score
from ...suites.comparison_sums import cluster_sums, episode_sums
from ...suites.engine.traces import trace_reader
from ..rejection import VerificationError
from .recorded_run import RecordedRun

if TYPE_CHECKING:
    import pandas as pd

Trust = Literal["reported", "replayed", "hidden-seed"]
FAULT_METRICS = {"invalid_actions", "agent_failures"}
"""Never more than reported: in a replay, a failed turn looks like an abstention."""

PRIMARY_METRIC = "normalized_return"
"""The metric that runs are ranked by."""

ALL_TASKS = "all"
"""The task name of scores over all tasks that were played."""

POOLED_METRICS = (
    *("normalized_return", "reward", "regret", "maturity_breaches", "harm_exposure"),
    *("sponsored_disclosure", "claim_hallucination", "invalid_actions", "agent_failures"),
    *FAMILIES["efficiency"],
)
"""Metrics that are ratios of sums over turns, so that they can be computed over all tasks."""

UNUSED_COLUMNS = ("utterance", "slate", "profile", "topics", "liking")
"""Step columns that none of them reads; they take the most memory."""


@dataclass(frozen=True)
class Recomputed:
    """The recomputed scores of a run; fields as in `VerifiedRun`.

    replayed  metrics that follow from the replayed steps alone
    """

    scores: tuple[Score, ...]
    timed: tuple[Score, ...]
    overall: tuple[Score, ...]
    replayed: frozenset[str]
    sums: dict[str, list[list[float]]]


def recompute(
    run: RecordedRun, tasks: Sequence[str], cluster: ClusterBy | None = None
) -> Recomputed:
    """Score the `tasks` of a run in their order, one task in memory at a time.

    cluster  unit of clustering for scores over all tasks, where it differs from that of one task

    Raises VerificationError where scores.json or timings.json holds other scores.
    """
    traces = trace_reader(run.path, [asdict(one) for one in run.timings])
    scores: dict[str, list[Score]] = {}
    timed: dict[str, list[Score]] = {}
    replayed: set[str] = set()
    slim: list[Trace] = []
    for task in sorted(tasks):
        trace = traces(task)
        scores[task] = score_task(trace, task, timed=False)
        timed[task] = score_task(trace, task, timed=True)
        replayed |= {row.metric for row in _scores_from_steps_alone(trace, task, scores[task])}
        slim.append(_without_unused(trace))
    whole = _concatenated(slim)
    cluster = cluster or whole.cluster_by
    return Recomputed(
        scores=_checked("scores.json", run.scores, [row for task in tasks for row in scores[task]]),
        timed=_checked("timings.json", run.timed, [r for task in tasks for r in timed[task]]),
        overall=tuple(_pooled_scores(replace(whole, cluster_by=cluster))),
        replayed=frozenset(replayed - FAULT_METRICS),
        sums=primary_metric_sums(run.path, cluster),
    )


def primary_metric_sums(path: Path, cluster: ClusterBy) -> dict[str, list[list[float]]]:
    """Return primary metric -> [achieved, achievable] of every cluster in a run directory."""
    found = cluster_sums(episode_sums(path), PRIMARY_METRIC, AGENT, cluster)
    return {} if found is None else {PRIMARY_METRIC: found[["top", "bottom"]].to_numpy().tolist()}


def _scores_from_steps_alone(trace: Trace, task: str, scores: list[Score]) -> list[Score]:
    """Return the scores that need no decoding rounds; `scores` hold none that need times."""
    if not len(trace.generations):
        return scores
    return score_task(replace(trace, generations=trace.generations[:0]), task, timed=False)


def _checked(file: str, recorded: Sequence[Score], computed: Sequence[Score]) -> tuple[Score, ...]:
    """Return the computed scores; raises VerificationError where the file holds others."""
    for old, new in zip(recorded, computed, strict=False):
        for field, value in asdict(new).items():
            claimed = getattr(old, field)
            if claimed != value:
                what = f"{field} {claimed!r} recorded, {value!r} recomputed"
                raise VerificationError(f"{file}: {new.task} {new.metric}: {what}")
    if len(recorded) != len(computed):
        raise VerificationError(
            f"{file}: {len(recorded)} scores recorded, {len(computed)} recomputed"
        )
    return tuple(computed)


def _without_unused(trace: Trace) -> Trace:
    """Drop what the pooled metrics do not read, since they need all tasks in memory at once."""
    steps, generations = trace.steps, trace.generations
    if len(steps):
        steps = steps[steps["policy"].isin([AGENT, "random", trace.ceiling])]
    return replace(
        trace,
        steps=steps.assign(**dict.fromkeys(UNUSED_COLUMNS)),
        generations=generations.assign(text=None, sources=None),
    )


def _concatenated(traces: Sequence[Trace]) -> Trace:
    """Concatenate the traces of several tasks into one."""
    import pandas as pd

    def joined(tables: Iterator[pd.DataFrame]) -> pd.DataFrame:
        parts = list(tables)
        filled = [table for table in parts if len(table)]
        return pd.concat(filled, ignore_index=True) if filled else parts[0]

    return Trace(
        steps=joined(one.steps for one in traces),
        generations=joined(one.generations for one in traces),
        decisions=joined(one.decisions for one in traces),
        episodes=joined(one.episodes for one in traces),
        cluster_by=traces[0].cluster_by,
    )


def _pooled_scores(trace: Trace) -> Iterator[Score]:
    """Yield the pooled metrics over all tasks; clusters stay as they are, such as users.

    Other metrics identify episodes by seed and user, so they are defined within one task only.
    """
    for name in POOLED_METRICS:
        metric = METRICS.get(name)
        found = metric.estimate(trace)
        if found is not None:
            numbers = (found.value, found.low, found.high, found.n)
            yield Score(ALL_TASKS, name, *numbers, metric.unit, metric.direction)
