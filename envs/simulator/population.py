"""Users alive in a world: a struct of arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...records import NOTHING
from ..dynamics.boredom import begin_boredom, boredom_utility
from ..dynamics.constraint import constraint_plan
from ..dynamics.drift import drift_noise, stationary_taste
from ..dynamics.interest_evolution import begin_interests, interest_draws, interest_utility
from ..dynamics.long_term_satisfaction import begin_exposure, exposure_draws, satisfaction
from ..dynamics.recurring import recurring_target, regime, regime_turns
from ..dynamics.satiation import satiation_utility
from ..dynamics.transient import transient_plan
from ..numerics import philox
from ..numerics.compiled import compiled
from ..numerics.directions import put_regime, to_direction
from ..numerics.grid import GRID
from ..numerics.philox import Words
from .choice import Floats, Ints, Units
from .world import World

MEMORY = 20
"""Choices for which an item counts as a repeat."""


@dataclass(frozen=True, eq=False)
class Population:
    """B users with M interests in d dimensions; the single environment is a population of one.

    State that a scenario has no dynamic for has length 0 along its second axis.

    seed, user      (B) the world's seed and the row in the world: together, who this is
    taste, anchor   (B, M, d) x, the present taste, and a, the long-run one, on the grid
    weights         (B, M) how much of the user each interest is
    satiation       (B, T) how often each topic was consumed lately
    leaning         (B, T) interest in each topic, in [−1, 1]
    bored_with      (B, W) main topics of the last clicks; boredom: (B, T) turns of it left
    exposure        (B) net kale exposure
    trust           (B) in [0, 1]; patience: (B) turns that the user still has in store
    earned          (B) reward of this session; offences: (B) rules broken in it
    day             (B) calendar days since the life began
    session, turn   (B) indices; turn counts within the session
    recent          (B, MEMORY) the last items chosen, newest first, NOTHING where none
    towards         (B) the user towards whose anchors recurring regimes turn
    serves          (B) the user whom this session serves, NOTHING where it is the user's own
    ban_day         (B) from which `ban_topic` (B) is ruled out; NOTHING is no topic
    churned         (B) the user has left for good
    over            (B) no turn is left: the calendar has ended, or the user has left

    What the state comes to in this turn, worked out from the fields above:

    interests       (B, M, d) directions u_m in force, in grid units
    topic_utility   (B, T) what the state adds to each topic
    scale           (B) factor on every reward
    """

    seed: Words
    user: Ints
    taste: Floats
    anchor: Floats
    weights: Floats
    satiation: Floats
    leaning: Floats
    bored_with: Ints
    boredom: Ints
    exposure: Floats
    trust: Floats
    patience: Floats
    earned: Floats
    offences: Ints
    day: Ints
    session: Ints
    turn: Ints
    recent: Ints
    towards: Ints
    serves: Ints
    ban_day: Ints
    ban_topic: Ints
    churned: NDArray[np.bool_]
    over: NDArray[np.bool_]
    interests: Units
    topic_utility: Floats
    scale: Floats

    def __len__(self) -> int:
        return len(self.user)


COLUMNS = tuple(field.name for field in fields(Population))


def begin(world: World, seed: ArrayLike, users: Ints) -> Population:
    """Users (B) on day 0 of worlds `seed` (one, or B); where tastes drift, they long have been."""
    scenario, count, topics = world.scenario, len(users), len(world.catalog.topics)
    seeds = np.broadcast_to(philox.words(seed), (count,))
    anchor = world.hidden.anchors[users]
    taste = anchor
    whole, real = np.zeros(count, dtype=np.int64), np.zeros(count)
    if scenario.drift is not None:
        noise = drift_noise(seeds, users, whole[:, None], *anchor.shape[1:])[:, 0]
        taste = stationary_taste(scenario.drift, anchor, noise)
    towards, ban = users, (whole, whole + NOTHING)
    if scenario.recurring is not None:
        towards = recurring_target(seeds, users, world.num_users)
    if scenario.constraint is not None:
        units, weights = np.rint(anchor / GRID), world.hidden.weights[users]
        loved = liking_of_topics(world, units, weights)
        ban = constraint_plan(scenario.constraint, seeds, users, loved)
    leaning, exposure = np.zeros((count, 0)), real
    bored_with, boredom = np.zeros((count, 0), np.int64), np.zeros((count, 0), np.int64)
    if scenario.interest_evolution is not None:
        leaning = begin_interests(interest_draws(seeds, users, topics))
    if scenario.boredom is not None:
        bored_with, boredom = begin_boredom(scenario.boredom, count, topics)
    if scenario.long_term_satisfaction is not None:
        exposure = begin_exposure(scenario.long_term_satisfaction, exposure_draws(seeds, users))
    now = Population(
        seed=seeds,
        user=users,
        taste=taste,
        anchor=anchor,
        weights=world.hidden.weights[users],
        satiation=np.zeros((count, topics if scenario.satiation else 0)),
        leaning=leaning,
        bored_with=bored_with,
        boredom=boredom,
        exposure=exposure,
        trust=real + (scenario.trust.start if scenario.trust else 0.0),
        patience=real + (scenario.patience.start if scenario.patience else np.inf),
        earned=real,
        offences=whole,
        day=whole,
        session=whole,
        turn=whole,
        recent=np.full((count, MEMORY), NOTHING, dtype=np.int64),
        towards=towards,
        serves=served_users(world, seeds, users, whole),
        ban_day=ban[0],
        ban_topic=ban[1],
        churned=np.zeros(count, dtype=bool),
        over=np.zeros(count, dtype=bool),
        interests=np.zeros(anchor.shape, dtype=np.int32),
        topic_utility=np.zeros((count, topics)),
        scale=np.ones(count),
    )
    now = with_mood(world, with_interests(world, now))
    return Population(**{name: np.array(getattr(now, name)) for name in COLUMNS})


def served_users(world: World, seed: Words, user: Ints, session: Ints) -> Ints:
    """(B) the user whom each user's session serves, NOTHING where it is the user's own."""
    transient = world.scenario.transient
    if transient is None:
        return np.full(len(user), NOTHING)
    gift, other = transient_plan(transient, seed, user, session, world.num_users)
    return np.where(gift, other, NOTHING)


def with_interests(world: World, now: Population, moved: Ints | None = None) -> Population:
    """The population with the directions that its tastes have in this session.

    A recurring regime turns them; a session for somebody else has somebody else's.

    moved  (B) the only interest of each user whose taste may have changed in this session,
           NOTHING where none has; None for all
    """
    recurring = world.scenario.recurring
    interests = now.interests.copy()
    _direct(
        world.hidden.anchors,
        regime_turns(recurring) if recurring else np.zeros((1, 2)),
        regime(recurring, now.day) if recurring else np.zeros_like(now.day),
        now.towards,
        now.serves,
        np.full(len(now), EVERY) if moved is None else moved,
        now.taste,
        interests,
    )
    return replace(now, interests=interests)


EVERY = -2
"""In place of an interest: all of them."""


@compiled
def _direct(
    anchors: Floats,
    turns: Floats,
    regime: Ints,
    towards: Ints,
    serves: Ints,
    moved: Ints,
    taste: Floats,
    interests: Units,
) -> None:
    """`with_interests` in place."""
    away = np.empty(taste.shape[2])
    for row in range(len(taste)):
        own = serves[row] == NOTHING
        for m in range(taste.shape[1]):
            if moved[row] != EVERY and (moved[row] != m or not own):
                continue
            if not own:
                to_direction(anchors[serves[row], m], interests[row, m])
            elif regime[row] > 0:
                cosine, sine = turns[regime[row]]
                put_regime(taste[row, m], anchors[towards[row], m], cosine, sine, away)
                to_direction(away, interests[row, m])
            else:
                to_direction(taste[row, m], interests[row, m])


def with_mood(world: World, now: Population) -> Population:
    """The population with what its state of the moment adds to topics and does to rewards."""
    scenario = world.scenario
    utility = None
    if scenario.satiation is not None:
        utility = satiation_utility(scenario.satiation, now.satiation)
    if scenario.interest_evolution is not None:
        added = interest_utility(scenario.interest_evolution, now.leaning)
        utility = added if utility is None else utility + added
    if scenario.boredom is not None:
        added = boredom_utility(scenario.boredom, now.boredom)
        utility = added if utility is None else utility + added
    if utility is not None:
        now = replace(now, topic_utility=utility)
    if scenario.long_term_satisfaction is not None:
        now = replace(now, scale=satisfaction(scenario.long_term_satisfaction, now.exposure))
    return now


def topic_liking(world: World, now: Population) -> Floats:
    """(B, T) how much users are drawn to each topic at present."""
    return liking_of_topics(world, now.interests.astype(np.float64), now.weights)


def liking_of_topics(world: World, units: Floats, weights: Floats) -> Floats:
    """(B, T) Σ_m w_m ⟨u_m, centroid_t⟩ for directions (B, M, d) in grid units."""
    scores = np.einsum("bmd,td->mbt", units, world.centroid_units)
    liking: Floats = np.zeros(scores.shape[1:])
    for interest, score in enumerate(scores):
        liking = liking + weights[:, interest, None] * score
    return liking * GRID**2


def rows(now: Population, index: Ints) -> Population:
    """The users at `index`, as a population of their own."""
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
    """`with_rows` for a population that is given up: its columns are written in place.

    before  what `part` was made from: columns that it still shares are as they were in `now`
    shared  who else holds columns of `now`, which are copied instead
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
