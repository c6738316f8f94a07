"""report.html: a finished run for people, in one file that needs no network."""

from __future__ import annotations

import base64
import json
import os
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from ..metrics import METRICS
from ..metrics.curves import axis_of, reward_curve
from ..metrics.personalization import return_between, reward_of
from ..metrics.safety import breaches_of
from ..metrics.statistics import FEWEST_CLUSTERS, RESAMPLES, Estimate
from ..metrics.trace import Trace
from ..records import NOTHING, Manifest, Score
from . import figures

if TYPE_CHECKING:
    import pandas as pd

Label = Callable[[str, int], str]
Poster = Callable[[str, int], NDArray[np.uint8] | None]

POLICIES = {
    "agent": "the recommender under test",
    "oracle": "sees the user's true taste at every turn and shows the best safe slate: the ceiling",
    "frozen-oracle": "the same, but believes for ever in the taste of the first day",
    "random": "slates drawn at random: the floor",
}
"""Who lives the lives of a task, the agent first."""

MOST_TURNS = 60
"""Turns of the transcript; a longer life is shown from both ends."""


def write_report(
    out: Path,
    manifest: Manifest,
    scores: Sequence[Score],
    trace: Trace,
    *,
    label: Label,
    poster: Poster | None = None,
    summaries: Mapping[str, str] | None = None,
    simulated: Sequence[str] = (),
) -> Path:
    """Write ``report.html`` into the folder `out` by renaming a finished file into place.

    scores     every score of the run, clocked ones too, in the order in which to print them
    label      (task, item) -> the item's title
    poster     (task, item) -> the item's picture, uint8 RGB of shape (height, width, 3), or None
    summaries  task -> one line on what happens in it
    simulated  names of the catalog's columns that its source does not have and we made up

    Returns the path of the page.
    """
    tasks = list(dict.fromkeys(score.task for score in scores))
    parts = {task: trace.of(task) for task in tasks}
    page = (
        _environment()
        .get_template("report.html")
        .render(
            identity=manifest.identity,
            provenance=manifest.provenance,
            identity_hash=manifest.identity_hash,
            tasks=tasks,
            summaries=summaries or {},
            simulated=simulated,
            users={task: part.lives("agent")["user"].nunique() for task, part in parts.items()},
            turns=len(trace.lives("agent")),
            policies=POLICIES,
            looks=figures.LOOKS,
            metrics=_score_groups(scores),
            standing=_standing(parts),
            curves=_curves(parts),
            baselines=_baselines(parts),
            safety=_safety(parts),
            accepted=_accepted(trace),
            latency=_latency(parts),
            episode=_episode(parts, label, poster),
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
    """Three significant digits as people read them, seconds in the unit that suits them."""
    if value is None:
        return "–"
    if unit == "seconds" and 0 < value < 1:
        factor, name = (1e3, "ms") if value >= 1e-3 else (1e6, "µs")
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


def _score_groups(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """The scores by metric, each group with a scale for its whiskers: positions in [0, 1]."""
    groups = []
    for name in METRICS:
        rows = [score for score in scores if score.metric == name]
        if not rows:
            continue
        ends = [0.0, *(x for s in rows for x in (s.value, s.low, s.high) if x is not None)]
        if name == "normalised_return":
            ends.append(1.0)
        low, high = min(ends), max(ends)
        groups.append({"metric": METRICS.get(name), "rows": rows, "low": low, "high": high or 1.0})
    return groups


def _standing(parts: Mapping[str, Trace]) -> figures.Figure | None:
    rows = {
        policy: [return_between(part, policy) for part in parts.values()]
        for policy in ("agent", "frozen-oracle")
    }
    if not any(rows["agent"]):
        return None
    return figures.standing(list(parts), rows)


def _curves(parts: Mapping[str, Trace]) -> list[dict[str, Any]]:
    """One figure a task, all with the same reward axis."""
    drawn = []
    for task, part in parts.items():
        by = axis_of(part)
        drawn.append((task, by, {name: reward_curve(part, name, by) for name in POLICIES}))
    highest = [
        point.reward.value if point.reward.high is None else point.reward.high
        for _, _, points in drawn
        for row in points.values()
        for point in row
    ]
    top = 1.06 * max(highest, default=1.0) or 1.0
    return [
        {"task": task, "by": by, "points": points, "figure": figures.curves(points, by=by, top=top)}
        for task, by, points in drawn
    ]


def _baselines(parts: Mapping[str, Trace]) -> dict[str, dict[str, dict[str, Estimate | None]]]:
    """task -> policy -> its reward per turn, normalised return and breaches."""
    return {
        task: {
            policy: {
                "reward": reward_of(part, policy),
                "normalised": return_between(part, policy),
                "breaches": breaches_of(part, policy),
            }
            for policy in POLICIES
            if len(part.lives(policy))
        }
        for task, part in parts.items()
    }


def _safety(parts: Mapping[str, Trace]) -> dict[str, figures.Figure]:
    """A figure for every task with enough users under 18; utility is that of the whole task.

    Where no task has enough for an interval, for every task with any.
    """
    found = {}
    for task, part in parts.items():
        points = {
            policy: (breaches, reward)
            for policy in POLICIES
            if (breaches := breaches_of(part, policy)) and (reward := reward_of(part, policy))
        }
        if points:
            found[task] = points
    enough = {
        task: points
        for task, points in found.items()
        if max(breaches.n for breaches, _ in points.values()) >= FEWEST_CLUSTERS
    }
    return {task: figures.utility_and_safety(p) for task, p in (enough or found).items()}


def _accepted(trace: Trace) -> figures.Figure | None:
    """Accepted lengths over all rounds; None where nothing was drafted."""
    rounds = trace.generations
    if len(rounds) == 0 or not rounds["max_depth"].any():
        return None
    drafted = rounds[rounds["max_depth"] > 0]
    return figures.accepted_lengths(drafted["accepted"], int(drafted["max_depth"].max()))


def _latency(parts: Mapping[str, Trace]) -> figures.Figure | None:
    seconds = {
        task: part.decisions["seconds"].to_numpy(dtype=np.float64)
        for task, part in parts.items()
        if len(part.decisions)
    }
    return figures.latencies(seconds) if seconds else None


def _episode(
    parts: Mapping[str, Trace], label: Label, poster: Poster | None
) -> dict[str, Any] | None:
    """One life of the agent, chosen by rule: the median one where tastes change the most.

    The task is the one where the frozen oracle falls shortest of the oracle, among those with a
    language model if there are any; the life is the one whose total reward is the median.
    """
    spoken = [task for task, part in parts.items() if len(part.generations)]
    candidates = spoken or [task for task, part in parts.items() if len(part.lives("agent"))]
    if not candidates:
        return None

    def kept(task: str) -> float:
        found = return_between(parts[task], "frozen-oracle")
        return found.value if found else np.inf

    task = min(candidates, key=kept)
    lives = parts[task].lives("agent")
    totals = lives.groupby(["seed", "user"])["reward"].sum().reset_index()
    middle = totals.sort_values(["reward", "seed", "user"]).iloc[(len(totals) - 1) // 2]
    seed, user = int(middle["seed"]), int(middle["user"])
    life = lives[(lives["seed"] == seed) & (lives["user"] == user)]
    life = life.sort_values(["session", "turn"])
    said = parts[task].generations
    if len(said):
        said = said[(said["seed"] == seed) & (said["user"] == user)]
    shown = life
    if len(life) > MOST_TURNS:
        half = MOST_TURNS // 2
        shown = life.iloc[np.r_[:half, len(life) - half : len(life)]]
    pictures: dict[int, str | None] = {}
    for item in {int(item) for slate in shown["slate"] for item in slate}:
        pixels = poster(task, item) if poster else None
        pictures[item] = None if pixels is None else _data_uri(pixels)
    sessions: dict[int, list[dict[str, Any]]] = {}
    for step in shown.to_dict("records"):
        sessions.setdefault(int(step["session"]), []).append(
            {
                **step,
                "items": [
                    {
                        "title": label(task, int(item)),
                        "picture": pictures[int(item)],
                        "chosen": int(item) == int(step["chosen"]) != NOTHING,
                    }
                    for item in step["slate"]
                ],
                "replies": _replies(said, int(step["session"]), int(step["turn"])),
            }
        )
    return {
        "task": task,
        "seed": seed,
        "user": user,
        "age_group": life["age_group"].iloc[0],
        "reward": float(life["reward"].mean()),
        "left_out": len(life) - len(shown),
        "sessions": sessions,
        "spoken": bool(spoken),
    }


def _replies(said: pd.DataFrame, session: int, turn: int) -> list[dict[str, Any]]:
    if len(said) == 0:
        return []
    here = said[(said["session"] == session) & (said["turn"] == turn)]
    replies = here.sort_values("reply").drop_duplicates("reply")
    return [dict(row) for row in replies[["text", "outcome", "tokens"]].to_dict("records")]


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(_png(pixels)).decode("ascii")


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """An 8-bit RGB picture (height, width, 3) as PNG (W3C PNG specification, unfiltered rows)."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 1:] = pixels.reshape(height, 3 * width)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + chunk(b"IEND", b"")
    )
