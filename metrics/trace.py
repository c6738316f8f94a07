"""What was recorded in a run, as three tables: all that a metric may look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    import pandas as pd

STEPS = (
    *("task", "seed", "user", "policy", "age_group", "session", "turn", "day", "utterance"),
    *("slate", "chosen", "reward", "valid", "expected", "best", "breaches", "violations"),
)
"""Columns of the steps: one row a turn of a life; see `records.Step` for units and ranges."""

GENERATIONS = (
    *("task", "seed", "user", "session", "turn", "reply", "outcome", "text", "prompt_tokens"),
    *("tokens", "round", "max_depth", "drafted_depth", "drafted_nodes", "verified_nodes"),
    *("accepted", "emitted", "sources"),
)
"""Columns of the generations: one row a decoding round of the agent; see `records.Round`.

`reply` counts the model's answers within a turn and `tokens` the new tokens of that answer.
"""

DECISIONS = ("task", "seed", "user", "seconds")
"""Columns of the decisions: one row for each slate that the agent chose, with its wall time."""

_REMEDY = "this is not a run that TasteShift recorded, or it was edited: run it again"


@dataclass(frozen=True, eq=False)
class Trace:
    """The recorded rows of one or several tasks.

    steps        one row a turn of every life, with the columns STEPS; `policy` tells the agent's
                 life from those of its companions (random, frozen-oracle, oracle)
    generations  one row a decoding round, with the columns GENERATIONS; empty where the agent
                 decodes no text
    decisions    one row a decision of the agent, with the columns DECISIONS; may be empty

    Raises InputError where a table that has rows lacks a column or a number.
    """

    steps: pd.DataFrame
    generations: pd.DataFrame
    decisions: pd.DataFrame

    def __post_init__(self) -> None:
        for name, columns in (
            ("steps", STEPS),
            ("generations", GENERATIONS),
            ("decisions", DECISIONS),
        ):
            table = getattr(self, name)
            missing = [column for column in columns if column not in table.columns]
            if len(table) and missing:
                raise InputError(f"the {name} have no column {', '.join(missing)}; {_REMEDY}")
            numbers = table.select_dtypes("number")
            holed = numbers.columns[~np.isfinite(numbers).all()]
            if len(holed):
                raise InputError(f"the {name} lack numbers in column {holed[0]}; {_REMEDY}")

    def of(self, task: str) -> Trace:
        """The rows of one task."""
        return Trace(*(_rows(t, task) for t in (self.steps, self.generations, self.decisions)))

    def lives(self, policy: str) -> pd.DataFrame:
        """The steps of one policy, such as ``agent`` or ``oracle``."""
        return self.steps[self.steps["policy"] == policy] if len(self.steps) else self.steps


def _rows(table: pd.DataFrame, task: str) -> pd.DataFrame:
    return table[table["task"] == task] if len(table) else table
