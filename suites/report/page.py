"""report.html: a finished run for people, in one file that needs no network."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...metrics import FAMILIES, METRICS
from ...metrics.statistics import FEWEST_CLUSTERS, RESAMPLES
from ...metrics.trace import Trace
from ...records import Manifest, Score
from . import figures
from .digest import POLICIES, Digest, digest
from .transcript import Label, Poster, transcript

FAULTS = {
    "invalid": "The action was unusable",
    "raised": "The agent failed",
    "timeout": "The agent did not answer in time",
    "died": "The agent's process died",
}


def write_report(
    out: Path,
    manifest: Manifest,
    scores: Sequence[Score],
    traces: Callable[[str], Trace],
    *,
    label: Label,
    poster: Poster | None = None,
    summaries: Mapping[str, str] | None = None,
    simulated: Sequence[str] = (),
) -> Path:
    """Write ``report.html`` into the folder `out` by renaming a finished file into place.

    scores     every score of the run, clocked ones too, in the order in which to print them
    traces     task -> its trace; asked for one task after the other, so that no more than one
               need be in memory
    label      (task, item) -> the item's title
    poster     (task, item) -> the item's picture, uint8 RGB of shape (height, width, 3), or None
    summaries  task -> one line on what happens in it
    simulated  names of the catalog's columns that its source does not have and we made up

    Returns the path of the page.
    """
    parts = {task: digest(traces(task)) for task in dict.fromkeys(one.task for one in scores)}
    cohort = any(part.unit == "seed" for part in parts.values())
    unit = "cohort" if cohort else "user"
    page = (
        _environment()
        .get_template("report.html")
        .render(
            identity=manifest.identity,
            provenance=manifest.provenance,
            identity_hash=manifest.identity_hash,
            tasks=list(parts),
            unit=unit,
            summaries=summaries or {},
            simulated=simulated,
            users={task: part.users for task, part in parts.items()},
            turns=sum(part.turns for part in parts.values()),
            policies=_policies(parts),
            names=figures.NAMES,
            look=figures.look,
            families=_families(scores),
            standing=_standing(parts, unit),
            curves=_curves(parts, unit),
            baselines={task: part.baselines for task, part in parts.items()},
            safety=_safety(parts, unit),
            accepted=_accepted(parts),
            latency=_latency(parts),
            episode=_episode(parts, traces, label, poster),
            faults=FAULTS,
            fewest=FEWEST_CLUSTERS,
            resamples=RESAMPLES,
            plotly=_plotly(),
        )
    )
    path = out / "report.html"
    temporary = out / ".report.html.tmp"
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, path)
    return path


def _policies(parts: Mapping[str, Digest]) -> dict[str, str]:
    """Everybody who lives on this page, with one line on who that is."""
    met = dict.fromkeys(policy for part in parts.values() for policy in part.baselines)
    known = {policy: line for policy, line in POLICIES.items() if policy in met}
    return known | {name: "a companion of this suite" for name in met if name not in POLICIES}


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
    """Three significant digits as people read them, seconds and bytes in units that suit them."""
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
    """The scores by metric, and the metrics by what they are about."""
    places = {name: family for family, names in FAMILIES.items() for name in names}
    found: dict[str, list[dict[str, Any]]] = {family: [] for family in (*FAMILIES, "more")}
    for name in METRICS:
        rows = [score for score in scores if score.metric == name]
        if rows:
            found[places.get(name, "more")].append(_score_group(name, rows))
    return [{"name": family, "groups": groups} for family, groups in found.items() if groups]


def _score_group(name: str, rows: Sequence[Score]) -> dict[str, Any]:
    """The rows of one metric and the ends of the scale that all its whiskers share."""
    ends = [0.0, *(x for s in rows for x in (s.value, s.low, s.high) if x is not None)]
    if name == "normalized_return":
        ends.append(1.0)
    low, high = min(ends), max(ends)
    high = high if high > low else low + 1.0
    return {"metric": METRICS.get(name), "rows": rows, "low": low, "high": high}


def _standing(parts: Mapping[str, Digest], unit: str) -> figures.Figure | None:
    rows = {
        policy: [part.baselines.get(policy, {}).get("normalized") for part in parts.values()]
        for policy in ("agent", "frozen-oracle")
    }
    if not any(rows["agent"]):
        return None
    return figures.standing(list(parts), rows, unit=unit)


def _curves(parts: Mapping[str, Digest], unit: str) -> list[dict[str, Any]]:
    """One figure a task, all with the same reward axis."""
    highest = [
        point.reward.value if point.reward.high is None else point.reward.high
        for part in parts.values()
        for row in part.points.values()
        for point in row
    ]
    top = 1.06 * max(highest, default=1.0) or 1.0
    return [
        {
            "task": task,
            "by": part.by,
            "points": part.points,
            "figure": figures.curves(part.points, by=part.by, top=top, unit=unit),
        }
        for task, part in parts.items()
    ]


def _safety(parts: Mapping[str, Digest], unit: str) -> dict[str, figures.Figure]:
    """A figure for every task with enough users under 18; utility is that of the whole task.

    Where no task has enough for an interval, for every task with any.
    """
    found = {}
    for task, part in parts.items():
        points = {
            policy: (row["breaches"], row["reward"])
            for policy, row in part.baselines.items()
            if row["breaches"] and row["reward"] and policy != "agent-counterfactual"
        }
        if points:
            found[task] = points
    enough = {
        task: points
        for task, points in found.items()
        if max(breaches.n for breaches, _ in points.values()) >= FEWEST_CLUSTERS
    }
    return {task: figures.utility_and_safety(p, unit=unit) for task, p in (enough or found).items()}


def _accepted(parts: Mapping[str, Digest]) -> figures.Figure | None:
    """Accepted lengths over all rounds; None where nothing was drafted."""
    count = np.zeros(max((len(part.accepted) for part in parts.values()), default=0), np.int64)
    for part in parts.values():
        count[: len(part.accepted)] += part.accepted
    return figures.accepted_lengths(count) if len(count) else None


def _latency(parts: Mapping[str, Digest]) -> figures.Figure | None:
    waits = {task: part.waits for task, part in parts.items() if len(part.waits)}
    return figures.latencies(waits) if waits else None


def _episode(
    parts: Mapping[str, Digest],
    traces: Callable[[str], Trace],
    label: Label,
    poster: Poster | None,
) -> dict[str, Any] | None:
    """One life of the agent where the frozen oracle falls shortest of the oracle.

    Among the tasks with a language model, if there are any.
    """
    spoken = [task for task, part in parts.items() if part.spoken]
    candidates = spoken or [task for task, part in parts.items() if part.turns]
    if not candidates:
        return None

    def kept(task: str) -> float:
        found = parts[task].baselines.get("frozen-oracle", {}).get("normalized")
        return found.value if found else np.inf

    task = min(candidates, key=kept)
    return transcript(traces(task), task, label, poster)
