"""How well an agent serves each user over a whole life."""

from __future__ import annotations

from .metric import metric
from .statistics import Estimate, ratio_interval
from .trace import Trace


def return_between(
    trace: Trace, policy: str, *, floor: str = "random", ceiling: str | None = None
) -> Estimate | None:
    """Where a policy's reward lies between two others: 0 at the floor, 1 at the ceiling.

    Σ_users (policy − floor) / Σ_users (ceiling − floor) over total rewards of the same users and
    seeds; the ceiling is the trace's unless another is named. A ratio of sums, so that a user
    with little to gain cannot dominate; unclipped, so that doing worse than the floor shows. None
    where one of the three did not live the same lives, or where the ceiling is not above the
    floor.
    """
    if len(trace.steps) == 0:
        return None
    totals = [
        trace.lives(name).groupby(["seed", "user"])["reward"].sum()
        for name in (policy, floor, ceiling or trace.ceiling)
    ]
    mine, low, high = totals
    if len(mine) == 0 or not (mine.index.equals(low.index) and mine.index.equals(high.index)):
        return None
    gained = (mine - low).groupby(trace.unit).sum()
    possible = (high - low).groupby(trace.unit).sum()
    return ratio_interval(gained, possible)


def reward_of(trace: Trace, policy: str) -> Estimate | None:
    """Σ reward / Σ turns over the lives of one policy; None where it lived none."""
    lives = trace.lives(policy)
    if len(lives) == 0:
        return None
    by_user = lives.groupby(trace.unit)["reward"]
    return ratio_interval(by_user.sum(), by_user.size())


@metric(unit="share of the ceiling", direction="higher")
def normalised_return(trace: Trace) -> Estimate | None:
    """Reward gained over random slates, as a share of what the oracle gains: random 0, oracle 1.

    See `return_between`.
    """
    return return_between(trace, "agent")


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
