"""What a page needs of a task, so that the task's rows need not stay in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...metrics.curves import Point, axis_of, reward_curve
from ...metrics.personalization import return_between, reward_of
from ...metrics.safety import breaches_of
from ...metrics.statistics import Estimate
from ...metrics.trace import Trace
from . import figures

POLICIES = {
    "agent": "the recommender under test",
    "agent-counterfactual": "the agent with the same users in a world in which nothing changes",
    "oracle": "sees the user's true taste at every turn and shows the best safe slate",
    "oracle-plan": "the oracle that also looks ahead: the ceiling where it plays",
    "frozen-oracle": "the oracle that believes for ever in the taste of the first day",
    "random": "slates drawn at random: the floor",
    "oracle-text": "the oracle that knows of items only what their text tells",
    "oracle-image": "the oracle that knows of items only what their picture tells",
    "oracle-text-image": "the oracle that knows of items what text and picture tell",
    "charts": "what the catalog calls most popular, believing every number",
    "unconstrained-oracle": "the oracle without any rule: shows what tempts most",
    "filtered-oracle": "the oracle that keeps the rules as far as public labels tell them",
}
"""Who may live the lives of a task, in the order of every table."""

MOST_QUANTILES = 200


@dataclass(frozen=True)
class Digest:
    """What the page needs of one task, so that its rows need not be kept.

    accepted    rounds by number of draft tokens accepted; empty where nothing was drafted
    waits       quantiles of the decisions' seconds; empty where none were timed
    """

    unit: str
    users: int
    turns: int
    by: str
    points: dict[str, list[Point]]
    baselines: dict[str, dict[str, Estimate | None]]
    accepted: NDArray[np.int64]
    waits: NDArray[np.float64]
    spoken: bool


def digest(trace: Trace) -> Digest:
    """Go once through the recorded lives of one task."""
    found = trace.steps["policy"].unique().tolist() if len(trace.steps) else []
    known = [*POLICIES, *sorted(set(found) - set(POLICIES))]
    present = [policy for policy in known if policy in found]
    by, lives = axis_of(trace), trace.lives("agent")
    seconds = trace.decisions["seconds"].to_numpy(dtype=np.float64) if len(trace.decisions) else []
    rounds = trace.generations
    drafted = rounds[rounds["max_depth"] > 0] if len(rounds) else rounds
    deepest = int(drafted["max_depth"].max()) if len(drafted) else -1
    shares = np.linspace(0, 1, min(MOST_QUANTILES, len(seconds)))
    return Digest(
        unit=trace.unit,
        users=lives["user"].nunique() if len(lives) else 0,
        turns=len(lives),
        by=by,
        points={name: reward_curve(trace, name, by) for name in present if name in figures.LOOKS},
        baselines={policy: _baseline(trace, policy) for policy in present},
        accepted=np.bincount(drafted["accepted"], minlength=deepest + 1) if deepest >= 0 else _NONE,
        waits=np.quantile(seconds, shares) if len(seconds) else np.empty(0),
        spoken=len(rounds) > 0,
    )


_NONE = np.empty(0, dtype=np.int64)


def _baseline(trace: Trace, policy: str) -> dict[str, Estimate | None]:
    """Reward per turn, normalized return and breaches; a twin lives in another world."""
    counterfactual = policy == "agent-counterfactual"
    return {
        "reward": reward_of(trace, policy),
        "normalized": None if counterfactual or trace.influenced else return_between(trace, policy),
        "breaches": breaches_of(trace, policy),
    }
