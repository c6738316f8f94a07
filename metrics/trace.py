"""What was recorded in a run, as four tables: all that a metric may look at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    import pandas as pd

STEPS = (
    *("task", "seed", "user", "policy", "age_group", "session", "turn", "day", "utterance"),
    *("slate", "chosen", "reward", "claims", "profile", "fault", "expected", "best"),
    *("under_first", "under_last", "under_organic", "breaches", "violations", "stale", "fresh"),
    *("fresh_chosen", "tampered", "sponsored", "disclosed", "false_claims", "regime", "gift"),
    *("topics", "liking"),
)
"""Columns of the steps: one row a turn of a life; see `records.Step` for units and ranges."""

EPISODES = (
    *("task", "seed", "user", "policy", "age_group", "events", "churned"),
    *("angle", "angle_later"),
)
"""Columns of the episodes: one row a life; see `records.Episode`."""

GENERATIONS = (
    *("task", "seed", "user", "session", "turn", "reply", "outcome", "text", "prompt_tokens"),
    *("tokens", "round", "max_depth", "drafted_depth", "drafted_nodes", "verified_nodes"),
    *("accepted", "emitted", "sources"),
)
"""Columns of the generations: one row a decoding round of the agent; see `records.Round`.

`reply` counts the model's answers within a turn and `tokens` the new tokens of that answer.
"""

DECISIONS = ("task", "seed", "user", "seconds", "first_token_seconds", "peak_memory")
"""Columns of the decisions: one row for each turn of the agent, in the order of its life.

`seconds` is the wall time of the decision, `first_token_seconds` that until the first token of
its first text (0 where it wrote none), `peak_memory` the most bytes that the agent's process ever
held until then.
"""

_REMEDY = "this is not a run that TasteShift recorded, or it was edited: run it again"


@dataclass(frozen=True, eq=False)
class Trace:
    """The recorded rows of one or several tasks.

    steps        one row a turn of every life, with the columns STEPS; `policy` tells the agent's
                 life from those of its companions (random, frozen-oracle, oracle, …)
    generations  one row a decoding round, with the columns GENERATIONS; empty where the agent
                 decodes no text
    decisions    one row a decision of the agent, with the columns DECISIONS; may be empty
    episodes     one row a life, with the columns EPISODES; may be empty
    unit         the column that tells apart what was sampled independently: users, or, where one
                 agent learned across all users of a seed, the seeds (cohorts)

    Raises InputError where a table that has rows lacks a column or a number. The steps gain the
    column `shown`, how many items a slate held.
    """

    steps: pd.DataFrame
    generations: pd.DataFrame
    decisions: pd.DataFrame
    episodes: pd.DataFrame
    unit: Literal["user", "seed"] = "user"

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
            holed = numbers.columns[~np.isfinite(numbers).all()]
            if len(holed):
                raise InputError(f"the {name} lack numbers in column {holed[0]}; {_REMEDY}")
            if len(table):
                object.__setattr__(self, name, _in_order(table))
        if len(self.steps) and "shown" not in self.steps.columns:
            shown = self.steps["slate"].map(len)
            object.__setattr__(self, "steps", self.steps.assign(shown=shown))

    def of(self, task: str) -> Trace:
        """The rows of one task."""
        tables = ("steps", "generations", "decisions", "episodes")
        return replace(self, **{name: _rows(getattr(self, name), task) for name in tables})

    def lives(self, policy: str) -> pd.DataFrame:
        """The steps of one policy, such as ``agent`` or ``oracle``."""
        return self.steps[self.steps["policy"] == policy] if len(self.steps) else self.steps

    @property
    def influenced(self) -> set[str]:
        """The tasks in which somebody's taste was not what it would have been without anybody."""
        lives = self.episodes
        turned = lives[(lives["angle"] != 0) | (lives["angle_later"] != 0)] if len(lives) else lives
        return set(turned["task"]) if len(turned) else set()

    @property
    def ceiling(self) -> str:
        """The policy that stands for the best possible: the oracle that plans, where it played."""
        planned = len(self.steps) and (self.steps["policy"] == "oracle-plan").any()
        return "oracle-plan" if planned else "oracle"


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by seed and user, otherwise as they came: sums then round alike in every recording."""
    order = np.lexsort((table["user"], table["seed"]))
    return table if (np.diff(order) == 1).all() else table.take(order)


def _rows(table: pd.DataFrame, task: str) -> pd.DataFrame:
    return table[table["task"] == task] if len(table) else table
