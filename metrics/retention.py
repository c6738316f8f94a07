"""Whether users stay, and what a whole life with the agent brings."""

from __future__ import annotations

from .adaptation import LIFE, mean_of
from .metric import metric
from .statistics import Estimate
from .trace import Trace


@metric(unit="share of lives", direction="higher")
def retention(trace: Trace) -> Estimate | None:
    """Users who are still there when the calendar ends.

    Lives of the agent that nobody left for good / lives. None where no life of the task, those
    of the companions included, was ever left.
    """
    lives = trace.episodes
    if len(lives) == 0 or not lives["churned"].any():
        return None
    churned = lives[lives["policy"] == "agent"].set_index(LIFE)["churned"]
    return mean_of(trace, 1.0 - churned)


@metric(unit="reward per life", direction="higher")
def lifetime_value(trace: Trace) -> Estimate | None:
    """Enjoyment over a whole life: how much a turn brings times how long the user stays.

    Σ reward / lives of the agent. None where all lives of the task are equally long and nobody
    leaves, as it would be `reward` in another unit.
    """
    if len(trace.steps) == 0:
        return None
    lengths = trace.steps.groupby(["policy", *LIFE]).size()
    churned = len(trace.episodes) and trace.episodes["churned"].any()
    if lengths.nunique() == 1 and not churned:
        return None
    return mean_of(trace, trace.lives("agent").groupby(LIFE)["reward"].sum())
