"""What can be said of a life once it is over: its slates under other tastes, and what it did.

All of it reaches the record, so all of it is exact: the same bits on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..dynamics.recurring import regime
from ..dynamics.shift import shift_plan
from ..numerics.arrays import Floats, Ints, Units
from ..numerics.compiled import compiled
from ..numerics.elementary import exp_of, log_of, sigmoid_of
from ..numerics.grid import GRID
from ..simulator.between_sessions import after_days
from ..simulator.choice import (
    ENJOYMENT_BIAS,
    ENJOYMENT_NOISE,
    NODES,
    POSITION_COST,
    QUALITY_WEIGHT,
    WEIGHTS,
    affinity,
    fill_liking,
    state_utility,
)
from ..simulator.population import COLUMNS, Population, with_directions
from ..simulator.rules import in_catalog
from ..simulator.world import World
from .counterfactual import organic_policy, relive

TOP_SHARE = 0.1
"""Items that a taste likes best: what an impression must belong to in order to be stale."""

LATER = 30
"""Days without a recommender after which is looked once more how far tastes lie apart."""

HALVINGS = 12


@dataclass(frozen=True, eq=False)
class Hindsight:
    """One life of T turns, looked back upon; `records.Step` and `records.Episode` say what it is.

    expected, under_first, under_last, under_organic  (T) in [0, 1]
    stale, regime                                     (T)
    gift                                              (T) bool
    angle, angle_later                                degrees in [0, 180]
    """

    expected: Floats
    under_first: Floats
    under_last: Floats
    under_organic: Floats
    stale: Ints
    regime: Ints
    gift: NDArray[np.bool_]
    angle: float
    angle_later: float


def look_back(
    world: World, states: Sequence[Population], slates: Ints, end: Population
) -> Hindsight:
    """What the slates (T, K) of one life were worth, and what the life did to the user's taste.

    states  the user (a population of one) before each slate
    end     the user after the last one
    """
    lived = Population(
        **{name: np.concatenate([getattr(one, name) for one in states]) for name in COLUMNS}
    )
    shown = in_catalog(world, slates, lived.day)
    alone = left_alone(world, int(lived.seed[0]), int(lived.user[0]))
    last = max(int(end.day[0]), int(alone.day[0]))
    left, met = (_taste_on(world, one, last) for one in (alone, end))
    weights = lived.weights[0]
    left_later, met_later = (_taste_on(world, one, last + LATER) for one in (alone, end))
    return Hindsight(
        expected=expected_of(world, lived, shown),
        under_first=under(world, lived, shown, lived.taste[0]),
        under_last=under(world, lived, shown, met),
        under_organic=under(world, lived, shown, left),
        stale=stale_items(world, lived, shown),
        regime=regimes(world, lived),
        gift=lived.recipient >= 0,
        angle=angle_between(met, left, weights),
        angle_later=angle_between(met_later, left_later, weights),
    )


@lru_cache(maxsize=4096)
def left_alone(world: World, seed: int, user: int) -> Population:
    """The user at the end of a life that met no recommender: a population of one."""
    return relive(world, seed, np.array([user]), organic_policy).end


def _taste_on(world: World, now: Population, day: int) -> Floats:
    """The taste (M, d) on a later day, if there is no session until then.

    Lives may end on different days; tastes are compared as they are on the same one.
    """
    taste: Floats = after_days(world, now, day - now.day).taste[0]
    return taste


def under(world: World, lived: Population, slates: Ints, taste: Floats) -> Floats:
    """(T) E[reward] of slates (T, K) for one user's turns, had the taste (M, d) been theirs."""
    believed = replace(lived, taste=np.broadcast_to(taste, lived.taste.shape).copy())
    return expected_of(world, with_directions(world, believed), slates)


def expected_of(world: World, now: Population, slates: Ints) -> Floats:
    """(B) E[reward | slate, state] of slates (B, K), NOTHING where a slot is empty."""
    out = np.empty(len(now))
    _expected(
        world.beta,
        world.outside_utility,
        world.traits,
        now.interests,
        now.weights,
        now.topic_utility,
        now.scale,
        now.recent,
        np.ascontiguousarray(slates),
        out,
    )
    return out


def stale_items(world: World, lived: Population, slates: Ints) -> Ints:
    """(T) shown items among the first turn's TOP_SHARE by taste alone, no longer by the present.

    0 while the user looks for something for somebody else.
    """
    first = _favorites(world, lived.interests[0], lived.weights[0])
    now, count = first, np.zeros(len(lived), dtype=np.int64)
    for turn, slate in enumerate(slates):
        if turn and (lived.interests[turn] != lived.interests[turn - 1]).any():
            now = _favorites(world, lived.interests[turn], lived.weights[turn])
        if lived.recipient[turn] >= 0:
            continue
        shown = slate[slate >= 0]
        count[turn] = (first[shown] & ~now[shown]).sum()
    return count


def regimes(world: World, lived: Population) -> Ints:
    """(T) which taste is in force: how many times it has turned, or the season; else 0."""
    if world.scenario.shift is not None:
        day = shift_plan(world.scenario.shift, lived.seed, lived.user, world.num_users)[0]
        return (lived.day >= day).astype(np.int64)
    if world.scenario.recurring is not None:
        return regime(world.scenario.recurring, lived.day)
    return np.zeros(len(lived), dtype=np.int64)


def angle_between(x: Floats, y: Floats, weights: Floats) -> float:
    """Degrees between two tastes (M, d) on the grid: the mean over interests by their weights.

    tan(θ/2) = √(|x|²|y|² − ⟨x, y⟩²) / (|x||y| + ⟨x, y⟩), and the arc tangent by halving the angle
    as Archimedes did for π: only operations that every machine rounds alike. 0 where x = y.
    """
    total = 0.0
    for one, other, weight in zip(x, y, weights, strict=True):
        a, b, c = (float((p * q).sum()) for p, q in ((one, one), (other, other), (one, other)))
        below = math.sqrt(a * b) + c
        if below <= 0.0:
            total += float(weight) * 180.0
            continue
        t = math.sqrt(max(a * b - c * c, 0.0)) / below
        for _ in range(HALVINGS):
            t = t / (1.0 + math.sqrt(1.0 + t * t))
        half = 2.0**HALVINGS * t * (1.0 - t * t / 3.0)
        total += float(weight) * (2.0 * half * 180.0 / math.pi)
    return total


def _favorites(world: World, interests: Units, weights: Floats) -> NDArray[np.bool_]:
    """(n) the TOP_SHARE of the items that a taste alone likes best."""
    n = len(world.traits)
    liking = np.empty(n)
    nothing, nobody = np.zeros(len(world.catalog.topics)), np.zeros(0, dtype=np.int64)
    fill_liking(world.beta, world.traits, interests, weights, nothing, nobody, liking)
    best = np.argsort(-liking, kind="stable")[: max(1, round(TOP_SHARE * n))]
    chosen = np.zeros(n, dtype=bool)
    chosen[best] = True
    return chosen


@compiled
def _expected(
    beta: float,
    nothing: float,
    traits: Units,
    interests: Units,
    weights: Floats,
    topic_utility: Floats,
    scale: Floats,
    recent: Ints,
    slates: Ints,
    out: Floats,
) -> None:
    """Σ_k e^{v_k} y_k / (e^{v_0} + Σ_k e^{v_k}) for each row; shapes as in `choice`."""
    d = interests.shape[2]
    for row in range(len(slates)):
        above, below = 0.0, exp_of(nothing)
        for k in range(slates.shape[1]):
            item = slates[row, k]
            if item < 0:
                continue
            trait = traits[item]
            liking = log_of(affinity(beta, interests[row], weights[row], trait[:d]))
            liking += state_utility(topic_utility[row], trait[d + 2 :], recent[row], item)
            level = liking + QUALITY_WEIGHT * (trait[d + 1] * GRID) - ENJOYMENT_BIAS
            joy = 0.0
            for j in range(len(NODES)):
                joy += WEIGHTS[j] * sigmoid_of(level + ENJOYMENT_NOISE * NODES[j])
            mass = exp_of(liking + trait[d] * GRID - POSITION_COST * k)
            above += mass * joy
            below += mass
        out[row] = scale[row] * above / below
