"""What may not be shown to a user: not there yet, for older people, or ruled out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...records import NOTHING
from ..numerics.compiled import compiled
from .choice import Ints
from .population import Population
from .world import World


def avoided_topic(world: World, now: Population) -> Ints:
    """(B) the topic that each user has ruled out by now, NOTHING where none."""
    if world.scenario.constraint is None:
        return np.full(len(now), NOTHING)
    return np.where(now.day >= now.ban_day, now.ban_topic, NOTHING)


def newly_avoided_topic(world: World, now: Population, before: Ints) -> Ints:
    """(B) the topic that was ruled out since the days `before` (B), NOTHING where none."""
    if world.scenario.constraint is None:
        return np.full(len(now), NOTHING)
    since = (now.day >= now.ban_day) & (before < now.ban_day)
    return np.where(since, now.ban_topic, NOTHING)


def in_catalog(world: World, slates: Ints, day: Ints) -> Ints:
    """Slates (B, K) as they can be shown on each user's day (B): later items leave empty slots."""
    if world.scenario.cold_items is None:
        return slates
    return np.where(world.entry_day[np.maximum(slates, 0)] > day[:, None], NOTHING, slates)


def offences(world: World, now: Population, slates: Ints) -> Ints:
    """(B) items on slates (B, K) that are unsuitable for the user's age or ruled out."""
    counts = np.zeros(len(now), dtype=np.int64)
    _count(
        world.minimum_age,
        world.hidden.ages[now.user],
        world.catalog.topic,
        avoided_topic(world, now),
        slates,
        counts,
    )
    return counts


@compiled
def _count(
    minimum_age: NDArray[np.int8],
    age: Ints,
    topic: NDArray[np.bool_],
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
