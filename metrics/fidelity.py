"""Whether what an agent shows, and what it says of a user, follows what the user likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from .metric import metric
from .statistics import Estimate, ratio_interval
from .trace import Trace

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_SESSION = ["seed", "user", "session"]


@metric(unit="rank correlation", direction="higher")
def revealed_fidelity(trace: Trace) -> Estimate | None:
    """Whether topics that the user likes more are shown more, whatever the agent says.

    Mean over the agent's sessions of Spearman's ρ between how often each topic was the main topic
    of a shown item and how much the user likes it as the session begins. Sessions for somebody
    else, and those in which either does not vary, do not count. None where no session counts.
    """
    turns, begun = _own_turns(trace)
    if len(begun) == 0:
        return None
    liking = _matrix(begun["liking"])
    slates = turns["topics"].to_list()
    session = np.repeat(begun.index.get_indexer(turns.index), [len(slate) for slate in slates])
    topic = np.concatenate(slates).astype(np.int64)
    wide = liking.shape[1]
    if topic.max(initial=-1) >= wide:
        raise InputError(f"the steps show topic {topic.max()} of {wide}; run the task again")
    kept = (session >= 0) & (topic >= 0)
    shown = np.bincount(session[kept] * wide + topic[kept], minlength=liking.size)
    return _mean(trace, begun.index, spearman(shown.reshape(liking.shape), liking))


@metric(unit="rank correlation", direction="none")
def stated_fidelity(trace: Trace) -> Estimate | None:
    """Whether the agent's stated profile of the user puts the topics in the user's order.

    Mean over the agent's sessions of Spearman's ρ between the last profile that it gave in the
    session and how much the user likes each topic as the session begins; sessions as in
    `revealed_fidelity`. None where no profile was ever given. A diagnostic: an agent may say one
    thing and show another, and one that gives no profile loses nothing.
    """
    turns, begun = _own_turns(trace)
    if len(begun) == 0:
        return None
    given = turns[turns["profile"].map(len) > 0].sort_values("turn", kind="stable")
    last = given[~given.index.duplicated(keep="last")]["profile"]
    both = begun.index.intersection(last.index)
    if len(both) == 0:
        return None
    profiles, liking = _matrix(last.loc[both]), _matrix(begun.loc[both, "liking"])
    if profiles.shape != liking.shape:
        raise InputError(
            f"the profiles name {profiles.shape[1]} topics of {liking.shape[1]}; "
            "give one number for each topic of the catalog"
        )
    return _mean(trace, both, spearman(profiles, liking))


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
    """The agent's turns outside gift sessions, and those of them that tell the user's liking.

    Both with index (seed, user, session); of the second, one row a session.
    """
    lives = trace.lives("agent")
    if len(lives) == 0:
        return lives, lives
    turns = lives[~lives["gift"].astype(bool)].set_index(_SESSION)
    begun = turns[turns["liking"].map(len) > 0]
    return turns, begun[~begun.index.duplicated()]


def _matrix(column: pd.Series[float]) -> NDArray[np.float64]:
    rows = column.to_list()
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise InputError(
            f"column {column.name} of the steps has rows of {min(widths)} and of {max(widths)} "
            "topics; a catalog has so many topics in every turn"
        )
    return np.array(rows, dtype=np.float64)


def _mean(trace: Trace, sessions: pd.Index, found: NDArray[np.float64]) -> Estimate | None:
    correlations = sessions.to_frame(index=False).assign(rho=found).dropna().sort_values(_SESSION)
    by_unit = correlations.groupby(trace.unit)["rho"]
    return ratio_interval(by_unit.sum(), by_unit.size())
