"""The recorded rows of a run as four tables: the input of every metric."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import InputError
from ..records import ROUND_COLUMNS, STEP_COLUMNS, Episode

if TYPE_CHECKING:
    import pandas as pd

ClusterBy = Literal["user", "seed"]
"""Column whose values were sampled independently of each other: the sampling unit of a trace."""

EPISODE_KEY = ["seed", "user"]
"""Columns that identify an episode among those of one task and one policy."""

STEPS = tuple(STEP_COLUMNS)
"""Columns of the steps: one row per turn of an episode; see `records.Step` for units and ranges."""

EPISODES = tuple(name for name in Episode.__dataclass_fields__ if name not in ("rewards", "digest"))
"""Columns of the episodes: one row per episode; see `records.Episode`."""

GENERATIONS = tuple(name for name in ROUND_COLUMNS if name != "policy")
"""Columns of the generations: one row per decoding round of the agent; see `records.Round`.

`reply` counts the model's answers within a turn, `tokens` the new tokens of that answer.
"""

DECISIONS = ("task", "seed", "user", "seconds", "first_token_seconds", "peak_memory")
"""Columns of the decisions: one row per turn of the agent, in the order of its episode.

`seconds` is the wall time of the decision, `first_token_seconds` that until the first token of
its first text (0 where it wrote none), `peak_memory` the largest resident size in bytes of the
agent's process until then.
"""

_REMEDY = "TasteShift did not record this run, or it was edited: run it again"


@dataclass(frozen=True, eq=False)
class Trace:
    """The recorded rows of one or several tasks.

    steps        one row per turn of every episode, with the columns STEPS; `policy` tells the
                 agent from the reference policies (random, frozen-oracle, oracle, …)
    generations  one row per decoding round, with the columns GENERATIONS; empty where the agent
                 decodes no text
    decisions    one row per decision of the agent, with the columns DECISIONS; may be empty
    episodes     one row per episode, with the columns EPISODES; may be empty
    cluster_by   sampling unit: "user", or "seed" on the cohort track, where one agent learns from
                 all users of a seed

    Raises InputError where a table that has rows lacks a column or holds a NaN or an infinity. A
    column `shown` is added to the steps: the number of items in the slate.
    """

    steps: pd.DataFrame
    generations: pd.DataFrame
    decisions: pd.DataFrame
    episodes: pd.DataFrame
    cluster_by: ClusterBy = "user"

    def __post_init__(self) -> None:
        for name, columns in (
            ("steps", STEPS),
            ("generations", GENERATIONS),
            ("decisions", DECISIONS),
            ("episodes", EPISODES),
        ):
            table = getattr(self, name)
            missing = [column for column in columns if column not in table.columns]
            if len(table) and missing:
                raise InputError(f"the {name} have no column {', '.join(missing)}; {_REMEDY}")
            numbers = table.select_dtypes("number")
            not_finite = numbers.columns[~np.isfinite(numbers).all()]
            if len(not_finite):
                raise InputError(f"the {name} lack numbers in column {not_finite[0]}; {_REMEDY}")
            if len(table):
                object.__setattr__(self, name, _in_order(table))
        if len(self.steps) and "shown" not in self.steps.columns:
            shown = self.steps["slate"].map(len)
            object.__setattr__(self, "steps", self.steps.assign(shown=shown))

    def of_task(self, task: str) -> Trace:
        """The rows of one task."""
        tables = ("steps", "generations", "decisions", "episodes")
        return replace(self, **{name: _rows_of(getattr(self, name), task) for name in tables})

    def steps_of(self, policy: str) -> pd.DataFrame:
        """The steps of one policy, such as ``agent`` or ``oracle``."""
        return self.steps[self.steps["policy"] == policy] if len(self.steps) else self.steps

    @property
    def influenced_tasks(self) -> set[str]:
        """Tasks in which some user's taste differs from what it would be without a recommender."""
        table = self.episodes
        moved = table[(table["angle"] != 0) | (table["angle_later"] != 0)] if len(table) else table
        return set(moved["task"]) if len(moved) else set()

    @property
    def ceiling(self) -> str:
        """Policy whose reward counts as the best possible; see `ceiling_of`."""
        return ceiling_of(self.steps["policy"].unique() if len(self.steps) else ())


def ceiling_of(policies: Collection[str]) -> str:
    """The planning oracle where it is among the policies of a task, otherwise the oracle."""
    return "oracle-plan" if "oracle-plan" in policies else "oracle"


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows sorted by seed and user, stably, so that sums round alike in every recording."""
    order = np.lexsort((table["user"], table["seed"]))
    return table if (np.diff(order) == 1).all() else table.take(order)


def _rows_of(table: pd.DataFrame, task: str) -> pd.DataFrame:
    return table[table["task"] == task] if len(table) else table
