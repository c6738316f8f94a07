"""A run as sums: what every life adds to the metrics that are ratios of sums."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..errors import InputError
from ..metrics.safety import MINORS
from .engine.run_directory import read_episodes
from .engine.traces import batches

LIFE = ["task", "seed", "user", "policy"]
COLUMNS = (
    *(*LIFE, "age_group", "slate", "reward", "under_first", "expected", "best"),
    *("breaches", "violations"),
)

RATIOS = {
    "reward": ("reward", "turns"),
    "regret": ("regret", "turns"),
    "maturity_breaches": ("breaches", "shown_to_minors"),
    "constraint_violations": ("violations", "shown"),
}
"""Metric -> the two sums over lives whose ratio it is."""

RETURNS = {"normalized_return": "reward", "return_first_taste": "under_first"}
"""Metric -> what is gained between random and ceiling; the second where tastes can be led."""

COMPARABLE = (*RETURNS, *RATIOS)
"""The metrics that are ratios of sums over lives."""


def lives_of(path: Path) -> pd.DataFrame:
    """One row a life, indexed by task, seed, user and policy: its turns and sums over them.

    `influenced` tells of its task whether anybody's taste followed a recommender there.
    The steps are read a bounded number at a time. Raises InputError where they cannot be.
    """
    parts = []
    for steps in batches(path, COLUMNS):
        minor = steps["age_group"].isin(MINORS)
        sums = steps[LIFE].assign(
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
        parts.append(sums.groupby(LIFE).sum())
    if not parts:
        raise InputError(f"{path / 'steps.parquet'} holds no steps; run it again")
    lives: pd.DataFrame = pd.concat(parts).groupby(level=LIFE).sum()
    turned = {one.task for one in read_episodes(path) if one.angle or one.angle_later}
    return lives.assign(influenced=lives.index.get_level_values("task").isin(turned))


def those_of(lives: pd.DataFrame, policy: str) -> pd.DataFrame:
    """The lives of one policy, indexed by task, seed and user."""
    return lives[lives.index.get_level_values("policy") == policy].droplevel("policy")


def references(lives: pd.DataFrame) -> list[str]:
    """Who lived every one of the agent's lives beside it."""
    met = those_of(lives, "agent").index
    policies = sorted(name for name in lives.index.unique("policy") if name[:5] != "agent")
    return [name for name in policies if those_of(lives, name).index.equals(met)]


def sums_of(lives: pd.DataFrame, metric: str, policy: str, unit: str) -> pd.DataFrame | None:
    """What each cluster adds to the metric's two sums, in the columns top and bottom.

    None where the metric does not apply.
    """
    if metric in RETURNS:
        led = metric == "return_first_taste"
        life = _between(lives[lives["influenced"] == led], policy, RETURNS[metric])
    else:
        top, bottom = RATIOS[metric]
        part = those_of(lives, policy)
        part = part[part["minor"] > 0] if metric == "maturity_breaches" else part
        ruled = metric != "constraint_violations" or lives["violations"].any()
        life = pd.DataFrame({"top": part[top], "bottom": part[bottom]}) if ruled else None
    if life is None:
        return None
    sums: pd.DataFrame = life.groupby(level=unit).sum()
    return sums if sums["bottom"].sum() > 0 else None


def _between(lives: pd.DataFrame, policy: str, column: str) -> pd.DataFrame | None:
    """Gained and possible sums of every life, task by task, since ceilings may differ."""
    parts = []
    for _, part in lives.groupby(level="task"):
        planned = "oracle-plan" in part.index.get_level_values("policy")
        ceiling = "oracle-plan" if planned else "oracle"
        mine, low, high = (those_of(part, name)[column] for name in (policy, "random", ceiling))
        if len(mine) == 0 or not (mine.index.equals(low.index) and mine.index.equals(high.index)):
            return None
        parts.append(pd.DataFrame({"top": mine - low, "bottom": high - low}))
    return pd.concat(parts) if parts else None
