"""State of a batch of users: a struct of arrays with one row per user."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...records import NOTHING
from ..dynamics.boredom import begin_boredom, boredom_utility
from ..dynamics.constraint import constraint_plan
from ..dynamics.drift import drift_noise, stationary_taste
from ..dynamics.interest_evolution import begin_interests, interest_draws, interest_utility
from ..dynamics.long_term_satisfaction import begin_exposure, exposure_draws, satisfaction
from ..dynamics.recurring import recurring_target, regime, regime_rotations
from ..dynamics.satiation import satiation_utility
from ..dynamics.transient import transient_plan
from ..numerics import philox
from ..numerics.arrays import Bools, Floats, Ints, Units, Words
from ..numerics.compiled import compiled
from ..numerics.grid import GRID
from ..numerics.vectors import direction_units, rotate_vector
from .world import World

REPEAT_WINDOW = 20
"""Number of a user's last choices within which an item counts as a repeat."""


@dataclass(frozen=True, eq=False)
class Population:
    """State of B users with M interests in d dimensions; the single environment has B = 1.

    Columns (B, T) and (B, W) have length 0 along the second axis where the scenario lacks their
    dynamic.

    seed, user      (B) environment seed and row in the catalog, the address of all draws
    taste, anchor   (B, M, d) x, the present taste, and a, the long-run taste, on the grid
    weights         (B, M) weights of the interests
    satiation       (B, T) discounted consumption of each topic
    topic_interest  (B, T) interest in each topic, in [−1, 1]
    recent_topics   (B, W) main topics of the last clicks; boredom_left: (B, T) turns of boredom
    exposure        (B) net kale exposure
    trust           (B) in [0, 1]; patience: (B) patience left in this session
    session_reward  (B) reward of this session; broken_rules: (B) rule violations in it
    day             (B) days since the episode began
    session, turn   (B) indices; turn counts within the session
    recent          (B, REPEAT_WINDOW) the last items chosen, newest first, NOTHING where none
    regime_target   (B) the user towards whose anchors recurring regimes rotate
    recipient       (B) the user whose taste this session is for, NOTHING for the user's own
    avoid_from      (B) day from which `avoid_topic` (B) is ruled out; NOTHING is no topic
    churned         (B) the user has left for good
    over            (B) the episode has ended: no day or session is left, or the user has churned

    Derived for the present turn from the columns above:

    interests       (B, M, d) directions u_m in force, in grid units
    topic_utility   (B, T) utility that the state adds to each topic
    scale           (B) factor on every reward
    """

    seed: Words
    user: Ints
    taste: Floats
    anchor: Floats
    weights: Floats
    satiation: Floats
    topic_interest: Floats
    recent_topics: Ints
    boredom_left: Ints
    exposure: Floats
    trust: Floats
    patience: Floats
    session_reward: Floats
    broken_rules: Ints
    day: Ints
    session: Ints
    turn: Ints
    recent: Ints
    regime_target: Ints
    recipient: Ints
    avoid_from: Ints
    avoid_topic: Ints
    churned: Bools
    over: Bools
    interests: Units
    topic_utility: Floats
    scale: Floats

    def __len__(self) -> int:
        return len(self.user)

    def with_columns(self, **columns: NDArray[Any]) -> Population:
        """A copy with some columns replaced, several times faster than `dataclasses.replace`."""
        copy = object.__new__(Population)
        copy.__dict__.update(self.__dict__, **columns)
        return copy


COLUMNS = tuple(field.name for field in fields(Population))


def initial_population(world: World, seed: ArrayLike, users: Ints) -> Population:
    """Users (B) on day 0 under environment seeds (one, or B); drifting tastes are stationary."""
    scenario, count, topics = world.scenario, len(users), len(world.catalog.topics)
    seeds = np.broadcast_to(philox.words(seed), (count,))
    anchor = world.hidden.anchors[users]
    taste = anchor
    zero, real = np.zeros(count, dtype=np.int64), np.zeros(count)
    if scenario.drift is not None:
        noise = drift_noise(seeds, users, zero[:, None], *anchor.shape[1:])[:, 0]
        taste = stationary_taste(scenario.drift, anchor, noise)
    target, avoid = users, (zero, zero + NOTHING)
    if scenario.recurring is not None:
        target = recurring_target(seeds, users, world.num_users)
    if scenario.constraint is not None:
        units, weights = np.rint(anchor / GRID), world.hidden.weights[users]
        liking = liking_of_topics(world, units, weights)
        avoid = constraint_plan(scenario.constraint, seeds, users, liking)
    topic_interest, exposure = np.zeros((count, 0)), real
    recent_topics, boredom_left = np.zeros((count, 0), np.int64), np.zeros((count, 0), np.int64)
    if scenario.interest_evolution is not None:
        topic_interest = begin_interests(interest_draws(seeds, users, topics))
    if scenario.boredom is not None:
        recent_topics, boredom_left = begin_boredom(scenario.boredom, count, topics)
    if scenario.long_term_satisfaction is not None:
        exposure = begin_exposure(scenario.long_term_satisfaction, exposure_draws(seeds, users))
    now = Population(
        seed=seeds,
        user=users,
        taste=taste,
        anchor=anchor,
        weights=world.hidden.weights[users],
        satiation=np.zeros((count, topics if scenario.satiation else 0)),
        topic_interest=topic_interest,
        recent_topics=recent_topics,
        boredom_left=boredom_left,
        exposure=exposure,
        trust=real + (scenario.trust.start if scenario.trust else 0.0),
        patience=real + (scenario.patience.start if scenario.patience else np.inf),
        session_reward=real,
        broken_rules=zero,
        day=zero,
        session=zero,
        turn=zero,
        recent=np.full((count, REPEAT_WINDOW), NOTHING, dtype=np.int64),
        regime_target=target,
        recipient=recipients(world, seeds, users, zero),
        avoid_from=avoid[0],
        avoid_topic=avoid[1],
        churned=np.zeros(count, dtype=bool),
        over=np.zeros(count, dtype=bool),
        interests=np.zeros(anchor.shape, dtype=np.int32),
        topic_utility=np.zeros((count, topics)),
        scale=np.ones(count),
    )
    now = with_state_effects(world, with_directions(world, now))
    return Population(**{name: np.array(getattr(now, name)) for name in COLUMNS})


def recipients(world: World, seed: Words, user: Ints, session: Ints) -> Ints:
    """(B) the user whose taste each session is for, NOTHING for the user's own."""
    transient = world.scenario.transient
    if transient is None:
        return np.full(len(user), NOTHING)
    gift, other = transient_plan(transient, seed, user, session, world.num_users)
    return np.where(gift, other, NOTHING)


def with_directions(world: World, now: Population, moved: Ints | None = None) -> Population:
    """The population with the interest directions in force in this session.

    A recurring regime rotates them; a session for another user uses that user's anchors.

    moved  (B) the only interest of each user whose taste may have changed in this session,
           NOTHING where none has; None for all
    """
    recurring = world.scenario.recurring
    interests = now.interests.copy()
    _fill_directions(
        world.hidden.anchors,
        regime_rotations(recurring) if recurring else np.zeros((1, 2)),
        regime(recurring, now.day) if recurring else np.zeros_like(now.day),
        now.regime_target,
        now.recipient,
        np.full(len(now), ALL_INTERESTS) if moved is None else moved,
        now.taste,
        interests,
    )
    return now.with_columns(interests=interests)


ALL_INTERESTS = -2
"""Stands for all interests in place of an index."""


@compiled
def _fill_directions(
    anchors: Floats,
    rotations: Floats,
    regime: Ints,
    regime_target: Ints,
    recipient: Ints,
    moved: Ints,
    taste: Floats,
    interests: Units,
) -> None:
    """`with_directions` in place."""
    rotated = np.empty(taste.shape[2])
    for row in range(len(taste)):
        own = recipient[row] == NOTHING
        for m in range(taste.shape[1]):
            if moved[row] != ALL_INTERESTS and (moved[row] != m or not own):
                continue
            if not own:
                direction_units(anchors[recipient[row], m], interests[row, m])
            elif regime[row] > 0:
                cosine, sine = rotations[regime[row]]
                target = anchors[regime_target[row], m]
                rotate_vector(taste[row, m], target, cosine, sine, rotated)
                direction_units(rotated, interests[row, m])
            else:
                direction_units(taste[row, m], interests[row, m])


def with_state_effects(world: World, now: Population) -> Population:
    """The population with the topic utilities and reward scales of its present state."""
    scenario = world.scenario
    utility = None
    if scenario.satiation is not None:
        utility = satiation_utility(scenario.satiation, now.satiation)
    if scenario.interest_evolution is not None:
        added = interest_utility(scenario.interest_evolution, now.topic_interest)
        utility = added if utility is None else utility + added
    if scenario.boredom is not None:
        added = boredom_utility(scenario.boredom, now.boredom_left)
        utility = added if utility is None else utility + added
    if utility is not None:
        now = now.with_columns(topic_utility=utility)
    if scenario.long_term_satisfaction is not None:
        now = now.with_columns(scale=satisfaction(scenario.long_term_satisfaction, now.exposure))
    return now


def topic_liking(world: World, now: Population) -> Floats:
    """(B, T) present liking of each topic."""
    return liking_of_topics(world, now.interests.astype(np.float64), now.weights)


def liking_of_topics(world: World, units: Floats, weights: Floats) -> Floats:
    """(B, T) Σ_m w_m ⟨u_m, centroid_t⟩ for directions (B, M, d) in grid units."""
    scores = np.einsum("bmd,td->mbt", units, world.centroid_units)
    liking: Floats = np.zeros(scores.shape[1:])
    for interest, score in enumerate(scores):
        liking = liking + weights[:, interest, None] * score
    return liking * GRID**2


def take_rows(now: Population, index: Ints) -> Population:
    """The users at `index`, as a population."""
    return Population(**{name: getattr(now, name)[index] for name in COLUMNS})


def with_rows(now: Population, index: Ints, part: Population) -> Population:
    """The population with the users at `index` as they are in `part`."""
    return put_rows(now, index, part, shared=now)


def put_rows(
    now: Population,
    index: Ints,
    part: Population,
    *,
    before: Population | None = None,
    shared: Population | None = None,
) -> Population:
    """`with_rows` that writes into the columns of `now`, which is not to be used afterwards.

    before  the population that `part` was made from; columns that the two share are not written
    shared  another population; columns that it shares with `now` are copied before writing
    """
    changed = {}
    for name in COLUMNS:
        column, new = getattr(now, name), getattr(part, name)
        if before is None or new is not getattr(before, name):
            if shared is not None and column is getattr(shared, name):
                column = column.copy()
            column[index] = new
        changed[name] = column
    return Population(**changed)
