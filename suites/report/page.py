"""Write report.html: a finished run for people, in one file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...metrics import FAMILIES, METRICS
from ...metrics.statistics import FEWEST_CLUSTERS, RESAMPLES
from ...metrics.trace import Trace, ceiling_of
from ...records import COUNTERFACTUAL, Manifest, Score
from ...storage import write_atomically
from . import figures
from .task_summary import POLICIES, TaskSummary, summarize
from .transcript import Picture, Title, transcript

FAULTS = {
    "invalid": "The action was unusable",
    "raised": "The agent raised an error",
    "timeout": "The agent did not answer in time",
    "died": "The agent's process died",
}
"""`Step.fault` -> what the transcript says."""

FAMILY_TITLES = {
    "regimes": "Recurring tastes",
    "cold_start": "Cold start",
    "fidelity": "Preference fidelity",
}
"""Headings of metric families, where they are not the family's name."""

Summaries = Mapping[str, TaskSummary]


@dataclass(frozen=True)
class Details:
    """What the page shows of tasks and catalogs that the recorded rows do not hold.

    title      (task, item) -> title of the item
    picture    (task, item) -> uint8 RGB of shape (height, width, 3), or None; None for no pictures
    tasks      task -> one line on what happens in it
    simulated  catalog columns that are simulated because the catalog's source lacks them
    """

    title: Title
    picture: Picture | None = None
    tasks: Mapping[str, str] = field(default_factory=dict)
    simulated: Sequence[str] = ()


def write_report(
    out: Path,
    manifest: Manifest,
    scores: Sequence[Score],
    traces: Callable[[str], Trace],
    details: Details,
) -> Path:
    """Write ``report.html`` into the folder `out`, atomically, and return its path.

    scores   every score of the run, timed ones too, in printing order
    traces   task -> its trace; called for one task after the other, so that no more than one
             trace need be in memory
    """
    tasks = {task: summarize(traces(task)) for task in dict.fromkeys(one.task for one in scores)}
    cohort = any(task.cluster_by == "seed" for task in tasks.values())
    cluster = "cohort" if cohort else "user"
    template = _environment().get_template("report.html")
    page = template.render(
        identity=manifest.identity,
        provenance=manifest.provenance,
        identity_hash=manifest.identity_hash,
        tasks=tasks,
        cluster=cluster,
        details=details,
        turns=sum(task.turns for task in tasks.values()),
        policies=_policies(tasks),
        labels=figures.LABELS,
        style=figures.style,
        families=_families(scores),
        normalized_returns=_normalized_returns(tasks, f"{cluster}s"),
        curves=_curves(tasks, f"{cluster}s"),
        ceiling_of=ceiling_of,
        safety=_safety(tasks, f"{cluster}s"),
        accepted_lengths=_accepted_lengths(tasks),
        latency=_latency(tasks),
        episode=_episode(tasks, traces, details),
        faults=FAULTS,
        fewest=FEWEST_CLUSTERS,
        resamples=RESAMPLES,
        plotly=_plotly(),
    )
    path = out / "report.html"
    write_atomically(path, page)
    return path


def _policies(tasks: Summaries) -> dict[str, str]:
    """Every policy on the page and its description."""
    played = dict.fromkeys(policy for task in tasks.values() for policy in task.policies)
    known = {policy: line for policy, line in POLICIES.items() if policy in played}
    return known | {name: "a policy of this suite" for name in played if name not in POLICIES}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, embed=_embed)
    return environment


def number(value: float | None, unit: str = "") -> str:
    """Format with three significant digits; seconds and bytes in a suitable unit; None as "–"."""
    if value is None:
        return "–"
    if unit == "seconds" and 0 < value < 1:
        factor, name = (1e3, "ms") if value >= 1e-3 else (1e6, "µs")
        return f"{number(value * factor)}\u202f{name}"
    if unit == "bytes":
        factor, name = (1e-9, "GB") if abs(value) >= 1e9 else (1e-6, "MB")
        return f"{number(value * factor)}\u202f{name}"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")
    text = "0" if value == 0 else text
    return text.replace("-", "−") + ("\u202fs" if unit == "seconds" else "")


def _embed(figure: figures.Figure) -> Markup:
    """JSON that is safe inside a script element."""
    return Markup(json.dumps(figure, allow_nan=False).replace("<", "\\u003c"))


def _plotly() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())


def _families(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """The scores grouped by metric, and the metrics by family."""
    family_of = {name: family for family, names in FAMILIES.items() for name in names}
    found: dict[str, list[dict[str, Any]]] = {family: [] for family in (*FAMILIES, "other")}
    for name in METRICS:
        rows = [score for score in scores if score.metric == name]
        if rows:
            found[family_of.get(name, "other")].append(_score_group(name, rows))
    return [
        {"name": family, "title": FAMILY_TITLES.get(family, family.capitalize()), "groups": groups}
        for family, groups in found.items()
        if groups
    ]


def _score_group(name: str, rows: Sequence[Score]) -> dict[str, Any]:
    """The rows of one metric and the ends of the scale that all its whiskers share."""
    ends = [0.0, *(x for s in rows for x in (s.value, s.low, s.high) if x is not None)]
    if name == "normalized_return":
        ends.append(1.0)
    low, high = min(ends), max(ends)
    high = high if high > low else low + 1.0
    return {"metric": METRICS.get(name), "rows": rows, "low": low, "high": high}


def _normalized_returns(tasks: Summaries, clusters: str) -> figures.Figure | None:
    rows = {
        policy: [
            task.policies[policy].normalized if policy in task.policies else None
            for task in tasks.values()
        ]
        for policy in ("agent", "frozen-oracle")
    }
    if not any(rows["agent"]):
        return None
    return figures.normalized_returns(list(tasks), rows, clusters=clusters)


def _curves(tasks: Summaries, clusters: str) -> dict[str, figures.Figure]:
    """Task -> figure, all with the same reward axis."""
    highest = [
        point.reward.value if point.reward.high is None else point.reward.high
        for task in tasks.values()
        for curve in task.curves.values()
        for point in curve
    ]
    top = 1.06 * max(highest, default=1.0) or 1.0
    return {
        name: figures.reward_curves(task.curves, axis=task.axis, top=top, clusters=clusters)
        for name, task in tasks.items()
    }


def _safety(tasks: Summaries, clusters: str) -> dict[str, figures.Figure]:
    """A figure for every task with enough users under 18; the reward is that of all users.

    Where no task has enough for an interval, for every task with any.
    """
    found = {}
    for name, task in tasks.items():
        points = {
            policy: (row.breaches, row.reward)
            for policy, row in task.policies.items()
            if row.breaches and row.reward and policy != COUNTERFACTUAL
        }
        if points:
            found[name] = points
    enough = {
        name: points
        for name, points in found.items()
        if max(breaches.n for breaches, _ in points.values()) >= FEWEST_CLUSTERS
    }
    return {
        name: figures.utility_and_safety(points, clusters=clusters)
        for name, points in (enough or found).items()
    }


def _accepted_lengths(tasks: Summaries) -> figures.Figure | None:
    """Histogram over all rounds of the run; None where nothing was drafted."""
    longest = max((len(task.accepted_lengths) for task in tasks.values()), default=0)
    count = np.zeros(longest, np.int64)
    for task in tasks.values():
        count[: len(task.accepted_lengths)] += task.accepted_lengths
    return figures.accepted_lengths(count) if len(count) else None


def _latency(tasks: Summaries) -> figures.Figure | None:
    seconds = {name: task.latencies for name, task in tasks.items() if len(task.latencies)}
    return figures.latencies(seconds) if seconds else None


def _episode(
    tasks: Summaries, traces: Callable[[str], Trace], details: Details
) -> dict[str, Any] | None:
    """Transcript from the task in which the frozen oracle's normalized return is lowest.

    Among the tasks with a language model, if there are any.
    """
    candidates = [name for name, task in tasks.items() if task.writes_text]
    candidates = candidates or [name for name, task in tasks.items() if task.turns]
    if not candidates:
        return None

    def return_of_frozen_oracle(name: str) -> float:
        row = tasks[name].policies.get("frozen-oracle")
        return row.normalized.value if row and row.normalized else np.inf

    task = min(candidates, key=return_of_frozen_oracle)
    return transcript(traces(task), task, details.title, details.picture)
