"""How well an agent serves each user over a whole life."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

from .metric import metric
from .statistics import Estimate, ratio_interval
from .trace import Trace

if TYPE_CHECKING:
    import pandas as pd


def return_between(
    trace: Trace, policy: str, *, floor: str = "random", ceiling: str | None = None
) -> Estimate | None:
    """Where a policy's reward lies between two others: 0 at the floor, 1 at the ceiling.

    Σ_users (policy − floor) / Σ_users (ceiling − floor) over total rewards of the same users and
    seeds; the ceiling is each task's own unless one is named. A ratio of sums, so that a user
    with little to gain cannot dominate; unclipped, so that doing worse than the floor shows. None
    where one of the three did not live the same lives, or where the ceiling is not above the
    floor.
    """
    if len(trace.steps) == 0:
        return None
    life = ["task", "seed", "user"]
    gained, possible = [], []
    for task in trace.steps["task"].unique():
        part = trace.of(task)
        mine, low, high = (
            part.lives(name).groupby(life)["reward"].sum()
            for name in (policy, floor, ceiling or part.ceiling)
        )
        if len(mine) == 0 or not (mine.index.equals(low.index) and mine.index.equals(high.index)):
            return None
        gained.append((mine - low).groupby(trace.unit).sum())
        possible.append((high - low).groupby(trace.unit).sum())
    return ratio_interval(_added(gained), _added(possible))


def _added(sums: list[pd.Series]) -> pd.Series:
    """Sums by cluster, over the tasks that each cluster lived."""
    return reduce(lambda one, other: one.add(other, fill_value=0.0), sums)


def reward_of(trace: Trace, policy: str) -> Estimate | None:
    """Σ reward / Σ turns over the lives of one policy; None where it lived none."""
    lives = trace.lives(policy)
    if len(lives) == 0:
        return None
    by_user = lives.groupby(trace.unit)["reward"]
    return ratio_interval(by_user.sum(), by_user.size())


@metric(unit="share of the ceiling", direction="higher")
def normalized_return(trace: Trace) -> Estimate | None:
    """Reward gained over random slates, as a share of what the oracle gains: random 0, oracle 1.

    See `return_between`. Tasks in which tastes follow the recommender are left out, because there
    the ceiling moves with the tastes: `return_first_taste` stands in for it. None where no other
    task is left.
    """
    steps = trace.steps
    if len(steps) and trace.influenced:
        steps = steps[~steps["task"].isin(trace.influenced)]
    return return_between(replace(trace, steps=steps), "agent")


@metric(unit="reward per turn", direction="higher")
def reward(trace: Trace) -> Estimate | None:
    """Mean enjoyment of what was chosen, in [0, 1] per turn; a turn without a choice counts 0.

    See `reward_of`.
    """
    return reward_of(trace, "agent")


@metric(unit="reward per turn", direction="lower")
def regret(trace: Trace) -> Estimate | None:
    """Expected reward lost per turn against the best safe slate in the user's present state.

    Σ (best − expected) / Σ turns, both expectations taken in the state that the agent's own
    actions led to; one step ahead only, so harm done to later turns is not in it.
    """
    lives = trace.lives("agent")
    if len(lives) == 0:
        return None
    by_user = (lives["best"] - lives["expected"]).groupby(lives[trace.unit])
    return ratio_interval(by_user.sum(), by_user.size())
