"""Whether slates offer a choice, and whether some kind of user is served worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..records import NOTHING
from .metric import metric
from .statistics import FEWEST_CLUSTERS, LEVEL, Estimate, ratio_interval
from .trace import Trace

if TYPE_CHECKING:
    import pandas as pd

SMALLEST_GROUP = 5
"""Users that an age group must have to count as the worst served."""

PERMUTATIONS = 1_000
_KEY = 0xFA12

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@metric(unit="share of pairs", direction="higher")
def diversity(trace: Trace) -> Estimate | None:
    """How often two items of one slate differ in their main topic.

    Σ pairs with different topics / Σ pairs over all slates: Gini–Simpson, without replacement.
    Items without a topic form no pairs. None where no slate held a pair.
    """
    lives = trace.lives("agent")
    if len(lives) == 0:
        return None
    different, pairs = different_pairs(lives["topics"])
    unit = lives[trace.unit]
    table = lives[[]].assign(different=different, pairs=pairs).groupby(unit).sum()
    return ratio_interval(table["different"], table["pairs"])


@metric(unit="share of the ceiling", direction="lower")
def worst_group_gap(trace: Trace) -> Estimate | None:
    """How far the worst served age group lies below everybody, beyond what chance makes of it.

    (R − min_g R_g) − E_π[R − min_g R_π(g)], where R is the normalized return, g runs over age
    groups of at least 5 users, and π deals the users' age groups out anew, 1,000 times: some
    group is always the worst, so without the second term the gap of equals would not be 0. The
    ends subtract the 97.5th and the 2.5th percentile of the deals instead of their mean, so the
    interval leaves 0 out where fewer than 5 % of the deals are as extreme. None with fewer than
    two groups, or where the ceiling is not above random in each of them.
    """
    users = _gains(trace)
    if users is None:
        return None
    table = users.sort_values(["room", "gained", "group"])
    gained, room = table["gained"].to_numpy(), table["room"].to_numpy()
    group = np.unique(table["group"], return_inverse=True)[1]
    judged = np.flatnonzero(np.bincount(group) >= SMALLEST_GROUP)
    if len(judged) < 2 or (np.bincount(group, weights=room)[judged] <= 0).any():
        return None
    generator = np.random.Generator(np.random.Philox(_KEY))
    deals = (generator.permutation(group) for _ in range(PERMUTATIONS))
    dealt = np.array([_gap(gained, room, deal, judged) for deal in deals])
    found = _gap(gained, room, group, judged)
    value = float(found - dealt.mean())
    if len(table) < FEWEST_CLUSTERS:
        return Estimate(value, None, None, len(table))
    tail = (1 - LEVEL) / 2
    low, high = (float(found - end) for end in np.quantile(dealt, [1 - tail, tail]))
    return Estimate(value, min(low, value), max(high, value), len(table))


def different_pairs(topics: pd.Series[list[int]]) -> tuple[Floats, Floats]:
    """Of each slate (m), the pairs of items whose topics differ, and all pairs.

    topics  (m) main topics of the items shown, NOTHING for an item without one
    """
    slate = np.repeat(np.arange(len(topics)), topics.map(len))
    if len(slate) == 0:
        return np.zeros(len(topics)), np.zeros(len(topics))
    topic = np.concatenate(topics.to_list()).astype(np.int64)
    slate, topic = slate[topic != NOTHING], topic[topic != NOTHING]
    width = topic.max(initial=0) + 1
    cell, same = np.unique(slate * width + topic, return_counts=True)
    pairs = _pairs(np.bincount(slate, minlength=len(topics)))
    alike = np.bincount(cell // width, weights=_pairs(same), minlength=len(topics))
    return pairs - alike, pairs


def _pairs(count: Ints) -> Floats:
    return count * (count - 1) / 2


def _gains(trace: Trace) -> pd.DataFrame | None:
    """A row a user: what was gained over random, the room for it, and the age group."""
    if len(trace.steps) == 0:
        return None
    mine, low, high = (
        trace.lives(name).groupby(["seed", "user"])["reward"].sum()
        for name in ("agent", "random", trace.ceiling)
    )
    if len(mine) == 0 or not (mine.index.equals(low.index) and mine.index.equals(high.index)):
        return None
    gained = (mine - low).groupby("user").sum()
    room = (high - low).groupby("user").sum()
    group = trace.lives("agent").groupby("user")["age_group"].first()
    return gained.to_frame("gained").assign(room=room, group=group)


def _gap(gained: Floats, room: Floats, group: Ints, judged: Ints) -> float:
    """Everybody's return minus the lowest of the judged groups; one without room has no say."""
    overall = gained.sum() / room.sum()
    returns = np.full(len(judged), overall)
    top = np.bincount(group, weights=gained)[judged]
    bottom = np.bincount(group, weights=room)[judged]
    np.divide(top, bottom, out=returns, where=bottom > 0)
    return float(overall - returns.min())
