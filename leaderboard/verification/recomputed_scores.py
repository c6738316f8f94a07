"""Every score of a run, computed again from the rows that the replay has confirmed."""

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
from .recorded_run import RecordedRun
from .rejection import VerificationError

if TYPE_CHECKING:
    import pandas as pd

Trust = Literal["reported", "replayed", "hidden-seed"]
FAULTS = {"invalid_actions", "agent_failures"}
"""What rests on the agent's word: a turn on which it failed replays like an abstention."""

PRIMARY_METRIC = "normalized_return"
ALL_TASKS = "all"
"""Stands where a task would stand: every task that was played, taken together."""

POOLED = (
    *("normalized_return", "reward", "regret", "maturity_breaches", "harm_exposure"),
    *("sponsored_disclosure", "claim_hallucination", "invalid_actions", "agent_failures"),
    *FAMILIES["efficiency"],
)
"""Metrics that are ratios of sums over turns, whatever the task."""

UNPOOLED = ("utterance", "slate", "profile", "topics", "liking")
"""Columns of the steps that none of them looks at, and that take the most room."""


@dataclass(frozen=True)
class Recomputed:
    """The scores of a run; see `VerifiedRun`."""

    scores: tuple[Score, ...]
    clocked: tuple[Score, ...]
    overall: tuple[Score, ...]
    replayed: frozenset[str]
    sums: dict[str, list[list[float]]]


def recompute(
    run: RecordedRun, tasks: Sequence[str], cluster: ClusterBy | None = None
) -> Recomputed:
    """Score the `tasks` of a run, in their order, a task at a time.

    cluster  what was sampled independently over all tasks together, where that is not what it is
             in each

    Raises VerificationError where scores.json or timings.json tells anything else.
    """
    traces = trace_reader(run.path, [asdict(life) for life in run.timings])
    scores: dict[str, list[Score]] = {}
    clocked: dict[str, list[Score]] = {}
    replayed: set[str] = set()
    kept: list[Trace] = []
    for task in sorted(tasks):
        trace = traces(task)
        scores[task] = score_task(trace, task, clocked=False)
        clocked[task] = score_task(trace, task, clocked=True)
        replayed |= {row.metric for row in _of_steps_alone(trace, task, scores[task])}
        kept.append(_light(trace))
    whole = _together(kept)
    cluster = cluster or whole.cluster_by
    return Recomputed(
        scores=_agreed("scores.json", run.scores, [row for task in tasks for row in scores[task]]),
        clocked=_agreed("timings.json", run.clocked, [r for task in tasks for r in clocked[task]]),
        overall=tuple(_overall(replace(whole, cluster_by=cluster))),
        replayed=frozenset(replayed - FAULTS),
        sums=primary_metric_sums(run.path, cluster),
    )


def primary_metric_sums(path: Path, cluster: ClusterBy) -> dict[str, list[list[float]]]:
    """What every cluster of a run directory gained and could have gained, by headline metric."""
    found = cluster_sums(episode_sums(path), PRIMARY_METRIC, AGENT, cluster)
    return {} if found is None else {PRIMARY_METRIC: found[["top", "bottom"]].to_numpy().tolist()}


def _of_steps_alone(trace: Trace, task: str, scores: list[Score]) -> list[Score]:
    """What can be scored without decoding rounds; clocks are in no such score anyway."""
    if not len(trace.generations):
        return scores
    return score_task(replace(trace, generations=trace.generations[:0]), task, clocked=False)


def _agreed(file: str, told: Sequence[Score], true: Sequence[Score]) -> tuple[Score, ...]:
    """The true scores; raises VerificationError where the file tells others."""
    for old, new in zip(told, true, strict=False):
        for field, value in asdict(new).items():
            claimed = getattr(old, field)
            if claimed != value:
                what = f"{field} {claimed!r} recorded, {value!r} recomputed"
                raise VerificationError(f"{file}: {new.task} {new.metric}: {what}")
    if len(told) != len(true):
        raise VerificationError(f"{file}: {len(told)} scores recorded, {len(true)} recomputed")
    return tuple(true)


def _light(trace: Trace) -> Trace:
    """What the pooled metrics need of a task: all tasks are in memory for them at once."""
    steps, generations = trace.steps, trace.generations
    if len(steps):
        steps = steps[steps["policy"].isin([AGENT, "random", trace.ceiling])]
    return replace(
        trace,
        steps=steps.assign(**dict.fromkeys(UNPOOLED)),
        generations=generations.assign(text=None, sources=None),
    )


def _together(traces: Sequence[Trace]) -> Trace:
    """One trace of several tasks."""
    import pandas as pd

    def joined(tables: Iterator[pd.DataFrame]) -> pd.DataFrame:
        every = list(tables)
        filled = [table for table in every if len(table)]
        return pd.concat(filled, ignore_index=True) if filled else every[0]

    return Trace(
        steps=joined(one.steps for one in traces),
        generations=joined(one.generations for one in traces),
        decisions=joined(one.decisions for one in traces),
        episodes=joined(one.episodes for one in traces),
        cluster_by=traces[0].cluster_by,
    )


def _overall(trace: Trace) -> Iterator[Score]:
    """What adds up over lives of any task, over all of them: users stay the clusters.

    The other metrics tell lives apart by seed and user, so they are for one task at a time.
    """
    for name in POOLED:
        metric = METRICS.get(name)
        found = metric.estimate(trace)
        if found is not None:
            numbers = (found.value, found.low, found.high, found.n)
            yield Score(ALL_TASKS, name, *numbers, metric.unit, metric.direction)
