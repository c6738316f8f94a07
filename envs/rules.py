"""What may not be shown to a user: too old for them, or ruled out by them."""

from __future__ import annotations

import numpy as np

from ..records import NOTHING
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


def offences(world: World, now: Population, slates: Ints) -> Ints:
    """(B) items on slates (B, K) that are unsuitable for the user's age or ruled out."""
    item, shown = np.maximum(slates, 0), slates != NOTHING
    old = world.hidden.maturity[item] > world.hidden.ages[now.user][:, None]
    topic = avoided_topic(world, now)
    ruled = world.catalog.topic[item, topic[:, None]] & (topic != NOTHING)[:, None]
    counts: Ints = ((old | ruled) & shown).sum(axis=1)
    return counts
