"""Users with little history and items without any."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .metric import metric
from .personalization import return_between
from .statistics import Estimate, ratio_interval
from .trace import EPISODE_KEY, Trace

if TYPE_CHECKING:
    import pandas as pd


@metric(unit="share of the ceiling", direction="higher")
def cold_user_return_0(trace: Trace) -> Estimate | None:
    """Normalized return over the users with no choice in the training log.

    See `return_of_cold_users`.
    """
    return return_of_cold_users(trace, 0)


@metric(unit="share of the ceiling", direction="higher")
def cold_user_return_1(trace: Trace) -> Estimate | None:
    """Normalized return over the users with one choice in the training log.

    See `return_of_cold_users`.
    """
    return return_of_cold_users(trace, 1)


@metric(unit="share of the ceiling", direction="higher")
def cold_user_return_3(trace: Trace) -> Estimate | None:
    """Normalized return over the users with three choices in the training log.

    See `return_of_cold_users`.
    """
    return return_of_cold_users(trace, 3)


@metric(unit="share of the ceiling", direction="higher")
def cold_user_return_10(trace: Trace) -> Estimate | None:
    """Normalized return over the users with ten choices in the training log.

    See `return_of_cold_users`.
    """
    return return_of_cold_users(trace, 10)


@metric(unit="share of the oracle's", direction="none")
def cold_item_exposure(trace: Trace) -> Estimate | None:
    """Number of new items that the agent shows, divided by the number that the oracle shows.

    Σ fresh items shown by the agent / Σ fresh items shown by the oracle. None where the oracle
    shows none.
    """
    return _ratio_to(trace, "oracle", "fresh")


@metric(unit="share of the ceiling's", direction="higher")
def cold_item_reward(trace: Trace) -> Estimate | None:
    """Reward from chosen new items, divided by the ceiling policy's reward from them.

    Σ reward of the agent's turns whose chosen item is fresh / the same of the ceiling. None where
    the ceiling has none.
    """
    return _ratio_to(trace, trace.ceiling, "reward", "fresh_chosen")


def return_of_cold_users(trace: Trace, events: int) -> Estimate | None:
    """`personalization.return_between` over the users with `events` choices in the training log.

    None where there is no such user. None also where no user of the task has 0 choices: such a
    task is not about cold users, and a few merely happen to have a short history.
    """
    episodes = trace.episodes
    if len(trace.steps) == 0 or len(episodes) == 0 or not (episodes["events"] == 0).any():
        return None
    cold = (episodes["policy"] == "agent") & (episodes["events"] == events)
    if not cold.any():
        return None
    steps = trace.steps.merge(episodes[cold][EPISODE_KEY], on=EPISODE_KEY)
    return return_between(replace(trace, steps=steps), "agent")


def _ratio_to(trace: Trace, policy: str, column: str, where: str | None = None) -> Estimate | None:
    """Σ column of the agent / Σ column of a policy, over the same episodes.

    where  boolean column: other rows count 0
    """
    if len(trace.steps) == 0:
        return None
    agent, other = (_totals(trace.steps_of(name), column, where) for name in ("agent", policy))
    if len(agent) == 0 or not agent.index.equals(other.index):
        return None
    sums = (total.groupby(level=trace.cluster_by).sum() for total in (agent, other))
    return ratio_interval(*sums)


def _totals(steps: pd.DataFrame, column: str, where: str | None) -> pd.Series[float]:
    counted = steps[column] if where is None else steps[column].where(steps[where].astype(bool), 0)
    totals: pd.Series[float] = counted.groupby([steps[key] for key in EPISODE_KEY]).sum()
    return totals
