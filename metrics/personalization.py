"""How well an agent serves each user over a whole episode: returns, reward and regret."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

from .metric import metric
from .statistics import Estimate, ratio_interval
from .trace import Trace

if TYPE_CHECKING:
    import pandas as pd


def gain_and_headroom(
    policy: pd.Series[float], floor: pd.Series[float], ceiling: pd.Series[float]
) -> pd.DataFrame | None:
    """(policy − floor) and (ceiling − floor) of every episode, in columns `gain` and `headroom`.

    Each argument holds total rewards, one per episode, indexed by episode. None where the three
    policies did not play the same episodes, or none at all.
    """
    same = policy.index.equals(floor.index) and policy.index.equals(ceiling.index)
    if len(policy) == 0 or not same:
        return None
    return (policy - floor).to_frame("gain").assign(headroom=ceiling - floor)


def return_between(
    trace: Trace, policy: str, *, floor: str = "random", ceiling: str | None = None
) -> Estimate | None:
    """Normalized return of a policy between two others: 0 at the floor, 1 at the ceiling.

    Σ_users (policy − floor) / Σ_users (ceiling − floor) over total rewards of the same users and
    seeds; the ceiling is each task's own unless one is named. It is a ratio of sums, so that a
    user with little to gain cannot dominate, and it is not clipped, so that a policy worse than
    the floor is below 0. None where one of the three did not play the same episodes, or where the
    ceiling is not above the floor.
    """
    if len(trace.steps) == 0:
        return None
    episode = ["task", "seed", "user"]
    parts = []
    for task in trace.steps["task"].unique():
        of_task = trace.of_task(task)
        found = gain_and_headroom(
            *(
                of_task.steps_of(name).groupby(episode)["reward"].sum()
                for name in (policy, floor, ceiling or of_task.ceiling)
            )
        )
        if found is None:
            return None
        parts.append(found.groupby(trace.cluster_by).sum())
    # a cluster may have played some of the tasks only
    sums = reduce(lambda one, other: one.add(other, fill_value=0.0), parts)
    return ratio_interval(sums["gain"], sums["headroom"])


def mean_reward(trace: Trace, policy: str) -> Estimate | None:
    """Σ reward / Σ turns over the episodes of one policy; None where it played none."""
    steps = trace.steps_of(policy)
    if len(steps) == 0:
        return None
    rewards = steps.groupby(trace.cluster_by)["reward"]
    return ratio_interval(rewards.sum(), rewards.size())


@metric(unit="share of the ceiling", direction="higher")
def normalized_return(trace: Trace) -> Estimate | None:
    """Reward gained over random slates, as a share of the oracle's gain: random 0, oracle 1.

    See `return_between`. Tasks in which recommendations change tastes are left out, because the
    ceiling would move with the tastes: use `return_first_taste` there. None where no other task
    is left.
    """
    steps = trace.steps
    if len(steps) and trace.influenced_tasks:
        steps = steps[~steps["task"].isin(trace.influenced_tasks)]
    return return_between(replace(trace, steps=steps), "agent")


@metric(unit="reward per turn", direction="higher")
def reward(trace: Trace) -> Estimate | None:
    """Mean reward per turn, in [0, 1]; a turn without a choice counts 0.

    See `mean_reward`.
    """
    return mean_reward(trace, "agent")


@metric(unit="reward per turn", direction="lower")
def regret(trace: Trace) -> Estimate | None:
    """Mean expected reward lost per turn against the best safe slate for the user's state.

    Σ (best − expected) / Σ turns, both expectations taken in the state that the agent's own
    actions led to. One step ahead only: effects on later turns are not included.
    """
    steps = trace.steps_of("agent")
    if len(steps) == 0:
        return None
    lost = (steps["best"] - steps["expected"]).groupby(steps[trace.cluster_by])
    return ratio_interval(lost.sum(), lost.size())
