"""Whether the topics that an agent shows, or says that a user likes, follow the user's taste."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from .metric import metric
from .statistics import Estimate, ratio_interval
from .trace import EPISODE_KEY, Trace

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_SESSION = [*EPISODE_KEY, "session"]


@metric(unit="rank correlation", direction="higher")
def revealed_fidelity(trace: Trace) -> Estimate | None:
    """Rank correlation between how often a topic is shown and how much the user likes it.

    Mean over the agent's sessions of Spearman's ρ between how often each topic was the main topic
    of a shown item and how much the user likes it as the session begins. Sessions for somebody
    else, and those in which either does not vary, do not count. None where no session counts.
    """
    turns, starts = _own_turns(trace)
    if len(starts) == 0:
        return None
    liking = _matrix(starts["liking"])
    slates = turns["topics"].to_list()
    session = np.repeat(starts.index.get_indexer(turns.index), [len(slate) for slate in slates])
    topic = np.concatenate(slates).astype(np.int64)
    topics = liking.shape[1]
    if topic.max(initial=-1) >= topics:
        raise InputError(f"the steps show topic {topic.max()} of {topics}; run the task again")
    kept = (session >= 0) & (topic >= 0)
    shown = np.bincount(session[kept] * topics + topic[kept], minlength=liking.size)
    return _clustered_mean(trace, starts.index, spearman(shown.reshape(liking.shape), liking))


@metric(unit="rank correlation", direction="none")
def stated_fidelity(trace: Trace) -> Estimate | None:
    """Rank correlation between the agent's stated topic profile and how much the user likes each.

    Mean over the agent's sessions of Spearman's ρ between the last profile that it gave in the
    session and how much the user likes each topic as the session begins; sessions as in
    `revealed_fidelity`. None where no profile was given. A diagnostic: an agent may say one thing
    and show another, and one that gives no profile loses nothing.
    """
    turns, starts = _own_turns(trace)
    if len(starts) == 0:
        return None
    given = turns[turns["profile"].map(len) > 0].sort_values("turn", kind="stable")
    last = given[~given.index.duplicated(keep="last")]["profile"]
    both = starts.index.intersection(last.index)
    if len(both) == 0:
        return None
    profiles, liking = _matrix(last.loc[both]), _matrix(starts.loc[both, "liking"])
    if profiles.shape != liking.shape:
        raise InputError(
            f"the profiles name {profiles.shape[1]} topics of {liking.shape[1]}; "
            "give one number for each topic of the catalog"
        )
    return _clustered_mean(trace, both, spearman(profiles, liking))


def spearman(x: NDArray[np.generic], y: NDArray[np.generic]) -> NDArray[np.float64]:
    """Spearman's ρ of each row of x with the same row of y, both (rows, m), to (rows,).

    Pearson's correlation of the ranks, ties averaged (Spearman 1904, Am. J. Psychology 15); NaN
    where a row does not vary.
    """
    from scipy.stats import rankdata

    a, b = (rankdata(side, axis=1) - (side.shape[1] + 1) / 2 for side in (x, y))
    spread = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    undefined = np.full(len(a), np.nan)
    rho: NDArray[np.float64] = np.divide(
        (a * b).sum(axis=1), spread, out=undefined, where=spread > 0
    )
    return rho


def _own_turns(trace: Trace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The agent's turns outside gift sessions, and the first turn of each such session.

    Both with index (seed, user, session). Only turns that record the user's liking count as first.
    """
    steps = trace.steps_of("agent")
    if len(steps) == 0:
        return steps, steps
    turns = steps[~steps["gift"].astype(bool)].set_index(_SESSION)
    starts = turns[turns["liking"].map(len) > 0]
    return turns, starts[~starts.index.duplicated()]


def _matrix(column: pd.Series[float]) -> NDArray[np.float64]:
    rows = column.to_list()
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise InputError(
            f"column {column.name} of the steps has rows of {min(widths)} and of {max(widths)} "
            "topics; every turn of a task has the same number"
        )
    return np.array(rows, dtype=np.float64)


def _clustered_mean(trace: Trace, sessions: pd.Index, rho: NDArray[np.float64]) -> Estimate | None:
    """Mean of one correlation per session; sessions with NaN do not count."""
    correlations = sessions.to_frame(index=False).assign(rho=rho).dropna().sort_values(_SESSION)
    by_cluster = correlations.groupby(trace.cluster_by)["rho"]
    return ratio_interval(by_cluster.sum(), by_cluster.size())
