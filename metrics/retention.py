"""Whether users stay, and how much reward a whole episode brings."""

from __future__ import annotations

from .adaptation import clustered_mean
from .metric import metric
from .statistics import Estimate
from .trace import EPISODE_KEY, Trace


@metric(unit="share of episodes", direction="higher")
def retention(trace: Trace) -> Estimate | None:
    """Share of the agent's episodes in which the user stays until the calendar ends.

    Episodes without churn / episodes. None where no user churned under any policy of the task,
    reference policies included.
    """
    episodes = trace.episodes
    if len(episodes) == 0 or not episodes["churned"].any():
        return None
    churned = episodes[episodes["policy"] == "agent"].set_index(EPISODE_KEY)["churned"]
    return clustered_mean(trace, 1.0 - churned)


@metric(unit="reward per episode", direction="higher")
def lifetime_value(trace: Trace) -> Estimate | None:
    """Mean total reward of an episode: reward per turn times how long the user stays.

    Σ reward / episodes of the agent. None where all episodes of the task are equally long and
    nobody churns, as it would be `reward` in another unit.
    """
    if len(trace.steps) == 0:
        return None
    lengths = trace.steps.groupby(["policy", *EPISODE_KEY]).size()
    churned = len(trace.episodes) and trace.episodes["churned"].any()
    if lengths.nunique() == 1 and not churned:
        return None
    return clustered_mean(trace, trace.steps_of("agent").groupby(EPISODE_KEY)["reward"].sum())
