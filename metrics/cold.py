"""Users of whom little is known, and items of which nothing is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .adaptation import LIFE
from .metric import metric
from .personalization import return_between
from .statistics import Estimate, ratio_interval
from .trace import Trace

if TYPE_CHECKING:
    import pandas as pd


@metric(unit="share of the ceiling", direction="higher")
def cold_user_return_0(trace: Trace) -> Estimate | None:
    """Normalized return over the users of whom the training log knows nothing.

    See `return_after`.
    """
    return return_after(trace, 0)


@metric(unit="share of the ceiling", direction="higher")
def cold_user_return_1(trace: Trace) -> Estimate | None:
    """Normalized return over the users with one choice in the training log.

    See `return_after`.
    """
    return return_after(trace, 1)


@metric(unit="share of the ceiling", direction="higher")
def cold_user_return_3(trace: Trace) -> Estimate | None:
    """Normalized return over the users with three choices in the training log.

    See `return_after`.
    """
    return return_after(trace, 3)


@metric(unit="share of the ceiling", direction="higher")
def cold_user_return_10(trace: Trace) -> Estimate | None:
    """Normalized return over the users with ten choices in the training log.

    See `return_after`.
    """
    return return_after(trace, 10)


@metric(unit="share of the oracle's", direction="none")
def cold_item_exposure(trace: Trace) -> Estimate | None:
    """How often new items are shown, next to how often the oracle shows them.

    Σ fresh items shown by the agent / Σ fresh items shown by the oracle. None where the oracle
    shows none.
    """
    return _beside(trace, "oracle", "fresh")


@metric(unit="share of the ceiling's", direction="higher")
def cold_item_reward(trace: Trace) -> Estimate | None:
    """Enjoyment that new items bring, next to what they bring at the ceiling.

    Σ reward of the agent's turns whose chosen item is fresh / the same of the ceiling. None where
    the ceiling has none.
    """
    return _beside(trace, trace.ceiling, "reward", "fresh_chosen")


def return_after(trace: Trace, events: int) -> Estimate | None:
    """`personalization.return_between` over the users with so many choices in the training log.

    None where there is no such user, or where none is without any choice: then the task is not
    about cold users, and a few happen to have so little history.
    """
    known = trace.episodes
    if len(trace.steps) == 0 or len(known) == 0 or not (known["events"] == 0).any():
        return None
    cold = known[(known["policy"] == "agent") & (known["events"] == events)][LIFE]
    if len(cold) == 0:
        return None
    return return_between(replace(trace, steps=trace.steps.merge(cold, on=LIFE)), "agent")


def _beside(trace: Trace, policy: str, column: str, where: str | None = None) -> Estimate | None:
    """Σ column of the agent / Σ column of a policy, over the same lives and rows."""
    if len(trace.steps) == 0:
        return None
    mine, other = (_totals(trace.lives(name), column, where) for name in ("agent", policy))
    if len(mine) == 0 or not mine.index.equals(other.index):
        return None
    return ratio_interval(*(total.groupby(level=trace.unit).sum() for total in (mine, other)))


def _totals(lives: pd.DataFrame, column: str, where: str | None) -> pd.Series[float]:
    counted = lives[column] if where is None else lives[column].where(lives[where].astype(bool), 0)
    totals: pd.Series[float] = counted.groupby([lives[key] for key in LIFE]).sum()
    return totals
