"""Fairness: variety within slates, and whether one age group is served worse than others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..records import NOTHING
from .metric import metric
from .personalization import gain_and_headroom
from .statistics import FEWEST_CLUSTERS, LEVEL, Estimate, ratio_interval
from .trace import EPISODE_KEY, Trace

if TYPE_CHECKING:
    import pandas as pd

SMALLEST_GROUP = 5
"""Fewest users of an age group that can count as the worst served."""

PERMUTATIONS = 1_000
"""Random reassignments of age groups to users behind the correction for chance."""

_KEY = 0xFA12

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@metric(unit="share of pairs", direction="higher")
def diversity(trace: Trace) -> Estimate | None:
    """Share of item pairs within a slate that differ in their main topic.

    Σ pairs with different topics / Σ pairs over all slates: Gini–Simpson, without replacement.
    Items without a topic form no pairs. None where no slate held a pair.
    """
    steps = trace.steps_of("agent")
    if len(steps) == 0:
        return None
    different, pairs = different_pairs(steps["topics"])
    cluster = steps[trace.cluster_by]
    table = steps[[]].assign(different=different, pairs=pairs).groupby(cluster).sum()
    return ratio_interval(table["different"], table["pairs"])


@metric(unit="share of the ceiling", direction="lower")
def worst_group_gap(trace: Trace) -> Estimate | None:
    """Normalized return of all users minus that of the worst served age group, less chance.

    (R − min_g R_g) − E_π[R − min_g R_π(g)], where R is the normalized return, g runs over age
    groups of at least 5 users, and π permutes the users' age groups, 1,000 times: some group is
    always the worst, so without the second term the expected gap of equal groups would not be 0.
    The ends subtract the 97.5th and the 2.5th percentile of the permutations instead of their
    mean, so the interval excludes 0 where fewer than 5 % of them are as extreme. None with fewer
    than two groups, or where the ceiling is not above random in each of them.
    """
    users = _gains_by_user(trace)
    if users is None:
        return None
    table = users.sort_values(["headroom", "gain", "group"])
    gain, headroom = table["gain"].to_numpy(), table["headroom"].to_numpy()
    group = np.unique(table["group"], return_inverse=True)[1]
    large = np.flatnonzero(np.bincount(group) >= SMALLEST_GROUP)
    if len(large) < 2 or (np.bincount(group, weights=headroom)[large] <= 0).any():
        return None
    generator = np.random.Generator(np.random.Philox(_KEY))
    permuted = (generator.permutation(group) for _ in range(PERMUTATIONS))
    by_chance = np.array([_gap(gain, headroom, groups, large) for groups in permuted])
    found = _gap(gain, headroom, group, large)
    value = float(found - by_chance.mean())
    if len(table) < FEWEST_CLUSTERS:
        return Estimate(value, None, None, len(table))
    tail = (1 - LEVEL) / 2
    low, high = (float(found - end) for end in np.quantile(by_chance, [1 - tail, tail]))
    return Estimate(value, min(low, value), max(high, value), len(table))


def different_pairs(topics: pd.Series[list[int]]) -> tuple[Floats, Floats]:
    """For each slate (m,): the number of item pairs whose topics differ, and of all pairs.

    topics  (m,) main topics of the items shown, NOTHING for an item without one
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


def _gains_by_user(trace: Trace) -> pd.DataFrame | None:
    """One row per user: gain over random, headroom of the ceiling over random, and age group."""
    if len(trace.steps) == 0:
        return None
    gains = gain_and_headroom(
        *(
            trace.steps_of(name).groupby(EPISODE_KEY)["reward"].sum()
            for name in ("agent", "random", trace.ceiling)
        )
    )
    if gains is None:
        return None
    group = trace.steps_of("agent").groupby("user")["age_group"].first()
    return gains.groupby("user").sum().assign(group=group)


def _gap(gain: Floats, headroom: Floats, group: Ints, large: Ints) -> float:
    """Return of all users minus the lowest return of the large groups that have headroom."""
    overall = gain.sum() / headroom.sum()
    returns = np.full(len(large), overall)
    top = np.bincount(group, weights=gain)[large]
    bottom = np.bincount(group, weights=headroom)[large]
    np.divide(top, bottom, out=returns, where=bottom > 0)
    return float(overall - returns.min())
