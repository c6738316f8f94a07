"""Observations: spaces, numeric observations of B users, and utterances."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
from gymnasium import spaces

from ...records import NOTHING
from ..dynamics.recurring import regime
from ..dynamics.shift import shift_plan
from ..dynamics.user_attributes import PRIVATE_FACTS, private_fact
from ..language.utterances import MAX_LENGTH, opening, reaction
from ..numerics.arrays import Floats, Ints
from .population import Population, take_rows, topic_liking
from .rules import avoided_topic, in_catalog, newly_avoided_topic
from .turn import time_index
from .world import World

Values = dict[str, Any]


def slate_space(world: World) -> spaces.MultiDiscrete:
    """Space of a slate: item indices, NOTHING in empty slots."""
    items = np.full(world.slate_size, len(world.catalog) + 1)
    return spaces.MultiDiscrete(items, start=np.full(world.slate_size, NOTHING))


def observation_spaces(world: World) -> dict[str, spaces.Space[Any]]:
    """The spaces of `observe` for one user."""
    scenario = world.scenario
    return {
        "user": spaces.Discrete(world.num_users),
        "day": spaces.Discrete(world.days),
        "session": spaces.Discrete(scenario.sessions),
        "turn": spaces.Discrete(scenario.turns + 1),
        "steps_left": spaces.Discrete(world.turns + 1),
        "context": spaces.Discrete(world.contexts),
        "avoid": spaces.MultiBinary(len(world.catalog.topics)),
        "slate": slate_space(world),
        "chosen": spaces.Discrete(len(world.catalog) + 1, start=NOTHING),
        "rating": spaces.Box(0.0, 1.0, (), np.float64),
    }


def utterance_space(world: World) -> spaces.Text:
    """Space of the utterances."""
    characters = world.catalog.characters().union(string.printable, "…")
    return spaces.Text(MAX_LENGTH, min_length=0, charset=characters)


def observe(
    world: World, now: Population, slates: Ints, chosen: Ints, rating: Floats, before: Ints
) -> Values:
    """Numeric observations of B users, arrays (B, …); some are shared with the population.

    slates, chosen, rating  (B, K), (B), (B) of the last turn; empty, NOTHING and 0 after a reset
    before                  (B) day of the last turn; ignored after a reset
    """
    scenario = world.scenario
    avoid = np.zeros((len(now), len(world.catalog.topics)), dtype=np.int8)
    if scenario.constraint is not None and (first_turn := np.flatnonzero(now.turn == 0)).size:
        topic = newly_avoided(world, take_rows(now, first_turn), before[first_turn])
        avoid[first_turn[topic != NOTHING], topic[topic != NOTHING]] = 1
    left = world.turns - now.session * scenario.turns - now.turn
    return {
        "user": now.user,
        "day": now.day,
        "session": now.session,
        "turn": now.turn,
        "steps_left": np.where(now.over, 0, left),
        "context": regime(scenario.recurring, now.day) if scenario.recurring else 0 * now.day,
        "avoid": avoid,
        "slate": in_catalog(world, slates, np.maximum(before, 0)),
        "chosen": chosen,
        "rating": rating,
    }


def newly_avoided(world: World, now: Population, before: Ints) -> Ints:
    """(B) the topic that users rule out as a session begins, NOTHING where none."""
    return newly_avoided_topic(world, now, np.where(now.session > 0, before, NOTHING))


def utterance(world: World, now: Population, chosen: int, rating: float, before: int) -> str:
    """Utterance of one user; arguments as in `observe`."""
    address = int(now.seed[0]), int(now.user[0]), int(time_index(world, now)[0])
    if now.turn[0] > 0:
        return reaction(world.catalog, chosen, rating, address)
    scenario, first = world.scenario, bool(now.session[0] == 0)
    changed = False
    if scenario.shift is not None and scenario.shift.announced:
        shift_day = int(shift_plan(scenario.shift, now.seed, now.user, world.num_users)[0][0])
        changed = (NOTHING if first else before) < shift_day <= int(now.day[0])
    gift = bool(now.recipient[0] != NOTHING)
    age = None if scenario.age_observed or not first else int(world.hidden.ages[int(now.user[0])])
    fact = ""
    if scenario.shares_private_fact and first:
        fact = PRIVATE_FACTS[int(private_fact(now.seed, now.user)[0])]
    liking = topic_liking(world, now)[0]
    if (avoided := int(avoided_topic(world, now)[0])) != NOTHING:
        liking[avoided] = -np.inf
    return opening(
        world.catalog.topics,
        liking,
        address,
        changed=changed,
        gift=gift,
        avoid=int(newly_avoided(world, now, np.array([before]))[0]),
        age=age,
        fact=fact,
    )
