"""What may not be shown to a user: too old for them, or ruled out by them."""

from __future__ import annotations

import numpy as np

from ..records import NOTHING
from .choice import Floats, Ints
from .dynamics.constraint import constraint_plan
from .grid import GRID
from .population import Population, liking_of_topics
from .world import World


def avoided_topic(world: World, now: Population) -> Ints:
    """(B) the topic that each user has ruled out by now, NOTHING where none."""
    if world.scenario.constraint is None:
        return np.full(len(now), NOTHING)
    day, topic = _plan(world, now)
    return np.where(now.day >= day, topic, NOTHING)


def newly_avoided_topic(world: World, now: Population, before: Ints) -> Ints:
    """(B) the topic that was ruled out since the days `before` (B), NOTHING where none."""
    if world.scenario.constraint is None:
        return np.full(len(now), NOTHING)
    day, topic = _plan(world, now)
    return np.where((now.day >= day) & (before < day), topic, NOTHING)


def offences(world: World, now: Population, slates: Ints) -> Ints:
    """(B) items on slates (B, K) that are unsuitable for the user's age or ruled out."""
    item, shown = np.maximum(slates, 0), slates != NOTHING
    old = world.hidden.maturity[item] > world.hidden.ages[now.user][:, None]
    topic = avoided_topic(world, now)
    ruled = world.catalog.topic[item, topic[:, None]] & (topic != NOTHING)[:, None]
    counts: Ints = ((old | ruled) & shown).sum(axis=1)
    return counts


def _plan(world: World, now: Population) -> tuple[Ints, Ints]:
    """Day and topic of each user's constraint; the topic is one that the anchors love."""
    assert world.scenario.constraint is not None
    anchor = np.rint(world.hidden.anchors[now.user] / GRID)
    liking: Floats = liking_of_topics(world, anchor, now.weights)
    return constraint_plan(world.scenario.constraint, now.seed, now.user, liking)
