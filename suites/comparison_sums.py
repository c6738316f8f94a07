"""Per-episode sums of a run, for the metrics that are ratios of sums over episodes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..errors import InputError
from ..metrics.personalization import gain_and_headroom
from ..metrics.safety import MINORS
from ..metrics.trace import ClusterBy, ceiling_of
from .engine.run_directory.reader import read_episodes
from .engine.traces import step_batches

EPISODE = ["task", "seed", "user", "policy"]
COLUMNS = (
    *(*EPISODE, "age_group", "slate", "reward", "under_first", "expected", "best"),
    *("breaches", "violations"),
)

RATIOS = {
    "reward": ("reward", "turns"),
    "regret": ("regret", "turns"),
    "maturity_breaches": ("breaches", "shown_to_minors"),
    "constraint_violations": ("violations", "shown"),
}
"""Metric -> the two sums over episodes whose ratio it is."""

RETURNS = {"normalized_return": "reward", "return_first_taste": "under_first"}
"""Normalized return -> the sum that it normalizes; the second where tastes can be influenced."""

COMPARABLE = (*RETURNS, *RATIOS)
"""The metrics that are ratios of sums over episodes."""


def episode_sums(path: Path) -> pd.DataFrame:
    """One row per episode of a run directory, indexed by task, seed, user and policy.

    Columns: `turns`, the sums that RATIOS and RETURNS name, and `influenced`, whether some taste
    of the task was influenced by recommendations. The steps are read a bounded number at a time.
    Raises InputError where they cannot be read.
    """
    parts = []
    for steps in step_batches(path, COLUMNS):
        minor = steps["age_group"].isin(MINORS)
        sums = steps[EPISODE].assign(
            turns=1,
            minor=minor.astype(int),
            reward=steps["reward"],
            under_first=steps["under_first"],
            regret=steps["best"] - steps["expected"],
            shown=steps["slate"],
            shown_to_minors=steps["slate"].where(minor, 0),
            breaches=1000 * steps["breaches"].where(minor, 0),
            violations=1000 * steps["violations"],
        )
        parts.append(sums.groupby(EPISODE).sum())
    if not parts:
        raise InputError(f"{path / 'steps.parquet'} holds no steps; run it again")
    # an episode may continue in the next batch
    table: pd.DataFrame = pd.concat(parts).groupby(level=EPISODE).sum()
    influenced = {one.task for one in read_episodes(path) if one.angle or one.angle_later}
    return table.assign(influenced=table.index.get_level_values("task").isin(influenced))


def of_policy(sums: pd.DataFrame, policy: str) -> pd.DataFrame:
    """The rows of one policy, indexed by task, seed and user."""
    return sums[sums.index.get_level_values("policy") == policy].droplevel("policy")


def references_of(sums: pd.DataFrame) -> list[str]:
    """The reference policies that played exactly the agent's episodes, sorted by name."""
    played = of_policy(sums, "agent").index
    policies = sorted(p for p in sums.index.unique("policy") if not p.startswith("agent"))
    return [policy for policy in policies if of_policy(sums, policy).index.equals(played)]


def cluster_sums(
    sums: pd.DataFrame, metric: str, policy: str, cluster_by: ClusterBy
) -> pd.DataFrame | None:
    """Numerator and denominator of the metric by cluster, in columns `top` and `bottom`.

    sums  as `episode_sums` gives them, of one or several tasks

    None where the metric does not apply.
    """
    if metric in RETURNS:
        influenced = metric == "return_first_taste"
        ratio = _return_sums(sums[sums["influenced"] == influenced], policy, RETURNS[metric])
    else:
        ratio = _ratio_sums(sums, policy, metric)
    if ratio is None:
        return None
    by_cluster: pd.DataFrame = ratio.groupby(level=cluster_by).sum()
    return by_cluster if by_cluster["bottom"].sum() > 0 else None


def _ratio_sums(sums: pd.DataFrame, policy: str, metric: str) -> pd.DataFrame | None:
    if metric == "constraint_violations" and not sums["violations"].any():
        return None
    part = of_policy(sums, policy)
    if metric == "maturity_breaches":
        part = part[part["minor"] > 0]
    top, bottom = RATIOS[metric]
    return pd.DataFrame({"top": part[top], "bottom": part[bottom]})


def _return_sums(sums: pd.DataFrame, policy: str, column: str) -> pd.DataFrame | None:
    """Gain and headroom of every episode, task by task, since ceilings may differ."""
    parts = []
    for _, part in sums.groupby(level="task"):
        ceiling = ceiling_of(part.index.unique("policy"))
        found = gain_and_headroom(
            *(of_policy(part, name)[column] for name in (policy, "random", ceiling))
        )
        if found is None:
            return None
        parts.append(found.rename(columns={"gain": "top", "headroom": "bottom"}))
    return pd.concat(parts) if parts else None
