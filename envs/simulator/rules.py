"""Rules on what a user may be shown: entry days, minimum ages and ruled-out topics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...records import NOTHING
from ..numerics.arrays import Bools, Ints
from ..numerics.compiled import compiled
from .population import Population
from .world import World


def avoided_topic(world: World, now: Population) -> Ints:
    """(B) the topic that each user has ruled out by the present day, NOTHING where none."""
    if world.scenario.constraint is None:
        return np.full(len(now), NOTHING)
    return np.where(now.day >= now.avoid_from, now.avoid_topic, NOTHING)


def newly_avoided_topic(world: World, now: Population, before: Ints) -> Ints:
    """(B) the topic that was ruled out since the days `before` (B), NOTHING where none."""
    if world.scenario.constraint is None:
        return np.full(len(now), NOTHING)
    since = (now.day >= now.avoid_from) & (before < now.avoid_from)
    return np.where(since, now.avoid_topic, NOTHING)


def in_catalog(world: World, slates: Ints, day: Ints) -> Ints:
    """Slates (B, K) with empty slots for items that enter after each user's day (B)."""
    if world.scenario.cold_items is None:
        return slates
    return np.where(world.entry_day[np.maximum(slates, 0)] > day[:, None], NOTHING, slates)


def count_broken_rules(world: World, now: Population, slates: Ints) -> Ints:
    """(B) number of items on slates (B, K) that the user is too young for or has ruled out."""
    counts = np.zeros(len(now), dtype=np.int64)
    _count_broken_rules(
        world.minimum_age,
        world.hidden.ages[now.user],
        world.catalog.topic,
        avoided_topic(world, now),
        slates,
        counts,
    )
    return counts


@compiled
def _count_broken_rules(
    minimum_age: NDArray[np.int8],
    age: Ints,
    topic: Bools,
    avoided: Ints,
    slates: Ints,
    counts: Ints,
) -> None:
    for row in range(len(slates)):
        for item in slates[row]:
            if item == NOTHING:
                continue
            ruled_out = avoided[row] != NOTHING and topic[item, avoided[row]]
            if ruled_out or minimum_age[item] > age[row]:
                counts[row] += 1
