"""What the report needs of a task, so that its rows need not stay in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...metrics.curves import Axis, Point, curve_axis, reward_curve
from ...metrics.personalization import mean_reward, return_between
from ...metrics.safety import breach_rate
from ...metrics.statistics import Estimate
from ...metrics.trace import ClusterBy, Trace
from ...records import COUNTERFACTUAL
from . import figures

POLICIES = {
    "agent": "the recommender under test",
    COUNTERFACTUAL: "the same agent and users in an environment without the task's change",
    "oracle": "knows the user's true taste at every turn and shows the best safe slate",
    "oracle-plan": "the oracle that also plans ahead; the ceiling where it plays",
    "frozen-oracle": "the oracle that knows the first day's taste only and never learns",
    "random": "slates drawn at random; the floor",
    "oracle-text": "the oracle that perceives items by their text only",
    "oracle-image": "the oracle that perceives items by their picture only",
    "oracle-text-image": "the oracle that perceives items by text and picture only",
    "charts": "the most popular items by the catalog's numbers, true or not",
    "unconstrained-oracle": "the oracle without safety rules",
    "filtered-oracle": "the oracle that applies the safety rules to public labels only",
}
"""Policy of a task -> description, in the order of every table."""

MAX_QUANTILES = 200
"""Points of a curve of decision times."""


@dataclass(frozen=True)
class PolicyRow:
    """One policy of a task in the table of reference policies; None where not defined.

    reward      mean reward per turn
    normalized  normalized return
    breaches    items above the user's age per 1,000 shown to users under 18
    """

    reward: Estimate | None
    normalized: Estimate | None
    breaches: Estimate | None


@dataclass(frozen=True)
class TaskSummary:
    """What the report shows of one task.

    cluster_by        sampling unit: "user", or "seed" on the cohort track
    users, turns      numbers of the agent's users, and of its turns over all episodes
    axis              x axis of the reward curves
    curves            policy -> reward curve, for the policies that are drawn
    policies          policy -> its table row, in the order of POLICIES
    accepted_lengths  number of decoding rounds by number of draft tokens accepted; empty where
                      nothing was drafted
    latencies         evenly spaced quantiles of decision times in seconds; empty where not timed
    writes_text       whether the agent decoded any text
    """

    cluster_by: ClusterBy
    users: int
    turns: int
    axis: Axis
    curves: dict[str, list[Point]]
    policies: dict[str, PolicyRow]
    accepted_lengths: NDArray[np.int64]
    latencies: NDArray[np.float64]
    writes_text: bool


def summarize(trace: Trace) -> TaskSummary:
    """Summarize the trace of one task."""
    played = trace.steps["policy"].unique().tolist() if len(trace.steps) else []
    known = [*POLICIES, *sorted(set(played) - set(POLICIES))]
    policies = [policy for policy in known if policy in played]
    axis, steps = curve_axis(trace), trace.steps_of("agent")
    drawn = [policy for policy in policies if policy in figures.STYLES]
    return TaskSummary(
        cluster_by=trace.cluster_by,
        users=steps["user"].nunique() if len(steps) else 0,
        turns=len(steps),
        axis=axis,
        curves={policy: reward_curve(trace, policy, axis) for policy in drawn},
        policies={policy: _policy_row(trace, policy) for policy in policies},
        accepted_lengths=_accepted_lengths(trace),
        latencies=_latencies(trace),
        writes_text=len(trace.generations) > 0,
    )


def _policy_row(trace: Trace, policy: str) -> PolicyRow:
    # the counterfactual plays another environment, so it has no place between random and oracle
    comparable = policy != COUNTERFACTUAL and not trace.influenced_tasks
    return PolicyRow(
        reward=mean_reward(trace, policy),
        normalized=return_between(trace, policy) if comparable else None,
        breaches=breach_rate(trace, policy),
    )


def _accepted_lengths(trace: Trace) -> NDArray[np.int64]:
    rounds = trace.generations
    drafted = rounds[rounds["max_depth"] > 0] if len(rounds) else rounds
    if len(drafted) == 0:
        return np.empty(0, dtype=np.int64)
    deepest = int(drafted["max_depth"].max())
    return np.bincount(drafted["accepted"], minlength=deepest + 1)


def _latencies(trace: Trace) -> NDArray[np.float64]:
    if len(trace.decisions) == 0:
        return np.empty(0)
    seconds = trace.decisions["seconds"].to_numpy(dtype=np.float64)
    shares = np.linspace(0, 1, min(MAX_QUANTILES, len(seconds)))
    quantiles: NDArray[np.float64] = np.quantile(seconds, shares)
    return quantiles
