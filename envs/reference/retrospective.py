"""Review of a finished episode: rewards of its slates under other tastes, and its effect on taste.

The results enter the record, so all arithmetic is bit-exact on every machine.
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
    HERMITE_NODES,
    HERMITE_WEIGHTS,
    POSITION_COST,
    QUALITY_WEIGHT,
    ChoiceModel,
    ChoiceState,
    affinity,
    fill_liking,
    state_utility,
)
from ..simulator.population import COLUMNS, Population, with_directions
from ..simulator.rules import in_catalog
from ..simulator.turn import choice_model, choice_state
from ..simulator.world import World
from .counterfactual import organic_policy, simulate_policy

TOP_SHARE = 0.1
"""Share of items that counts as a taste's favorites, for stale impressions."""

LATER_DAYS = 30
"""Days without a recommender before tastes are compared once more."""

HALVINGS = 12


@dataclass(frozen=True, eq=False)
class EpisodeReview:
    """Review of an episode of T turns; `records.Step` and `records.Episode` define the fields.

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


def review_episode(
    world: World, states: Sequence[Population], slates: Ints, end: Population
) -> EpisodeReview:
    """Expected rewards of the slates (T, K), and how far the user's taste was moved.

    states  the user (a population of one) before each slate
    end     the user after the last slate
    """
    turns = Population(
        **{name: np.concatenate([getattr(one, name) for one in states]) for name in COLUMNS}
    )
    shown = in_catalog(world, slates, turns.day)
    organic_end = organic_end_state(world, int(turns.seed[0]), int(turns.user[0]))
    last = max(int(end.day[0]), int(organic_end.day[0]))
    organic, final = (_taste_on(world, one, last) for one in (organic_end, end))
    weights = turns.weights[0]
    organic_later, final_later = (
        _taste_on(world, one, last + LATER_DAYS) for one in (organic_end, end)
    )
    return EpisodeReview(
        expected=expected_rewards(world, turns, shown),
        under_first=expected_under_taste(world, turns, shown, turns.taste[0]),
        under_last=expected_under_taste(world, turns, shown, final),
        under_organic=expected_under_taste(world, turns, shown, organic),
        stale=stale_items(world, turns, shown),
        regime=regimes(world, turns),
        gift=turns.recipient >= 0,
        angle=angle_between(final, organic, weights),
        angle_later=angle_between(final_later, organic_later, weights),
    )


@lru_cache(maxsize=4096)
def organic_end_state(world: World, seed: int, user: int) -> Population:
    """The user (a population of one) at the end of an episode under `organic_policy`."""
    return simulate_policy(world, seed, np.array([user]), organic_policy).end


def _taste_on(world: World, now: Population, day: int) -> Floats:
    """The taste (M, d) on a later day, without a session until then.

    Episodes may end on different days; tastes are compared on the same one.
    """
    taste: Floats = after_days(world, now, day - now.day).taste[0]
    return taste


def expected_under_taste(world: World, turns: Population, slates: Ints, taste: Floats) -> Floats:
    """(T) E[reward] of slates (T, K) in one user's turns, for another taste (M, d)."""
    believed = replace(turns, taste=np.broadcast_to(taste, turns.taste.shape).copy())
    return expected_rewards(world, with_directions(world, believed), slates)


def expected_rewards(world: World, now: Population, slates: Ints) -> Floats:
    """(B) E[reward | slate, state] of slates (B, K), NOTHING where a slot is empty."""
    out = np.empty(len(now))
    model, users = choice_model(world), choice_state(world, now)
    _fill_expected(model, users, np.ascontiguousarray(slates), out)
    return out


def stale_items(world: World, turns: Population, slates: Ints) -> Ints:
    """(T) shown items that are favorites of the first turn's taste, but not of the present one.

    0 while the user chooses for somebody else.
    """
    first = _favorites(world, turns.interests[0], turns.weights[0])
    now, count = first, np.zeros(len(turns), dtype=np.int64)
    for turn, slate in enumerate(slates):
        if turn and (turns.interests[turn] != turns.interests[turn - 1]).any():
            now = _favorites(world, turns.interests[turn], turns.weights[turn])
        if turns.recipient[turn] >= 0:
            continue
        shown = slate[slate >= 0]
        count[turn] = (first[shown] & ~now[shown]).sum()
    return count


def regimes(world: World, turns: Population) -> Ints:
    """(T) index of the taste regime: number of shifts so far, or the season; else 0."""
    if world.scenario.shift is not None:
        day = shift_plan(world.scenario.shift, turns.seed, turns.user, world.num_users)[0]
        return (turns.day >= day).astype(np.int64)
    if world.scenario.recurring is not None:
        return regime(world.scenario.recurring, turns.day)
    return np.zeros(len(turns), dtype=np.int64)


def angle_between(x: Floats, y: Floats, weights: Floats) -> float:
    """Degrees between two tastes (M, d) on the grid: the mean over interests by their weights.

    tan(θ/2) = √(|x|²|y|² − ⟨x, y⟩²) / (|x||y| + ⟨x, y⟩), and the arc tangent by halving the angle
    (Archimedes), with operations that every machine rounds alike. 0 where x = y.
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
    """(n) the TOP_SHARE of items with the highest liking by taste alone."""
    n = len(world.traits)
    liking = np.empty(n)
    no_utility, no_recent = np.zeros(len(world.catalog.topics)), np.zeros(0, dtype=np.int64)
    fill_liking(world.beta, world.traits, interests, weights, no_utility, no_recent, liking)
    best = np.argsort(-liking, kind="stable")[: max(1, round(TOP_SHARE * n))]
    chosen = np.zeros(n, dtype=bool)
    chosen[best] = True
    return chosen


@compiled
def _fill_expected(model: ChoiceModel, users: ChoiceState, slates: Ints, out: Floats) -> None:
    """Write Σ_k e^{v_k} y_k / (e^{v_0} + Σ_k e^{v_k}) of each row into `out` (B)."""
    d = users.interests.shape[2]
    for row in range(len(slates)):
        above, below = 0.0, exp_of(model.outside_utility)
        for k in range(slates.shape[1]):
            item = slates[row, k]
            if item < 0:
                continue
            trait = model.traits[item]
            interests, weights = users.interests[row], users.weights[row]
            liking = log_of(affinity(model.beta, interests, weights, trait[:d]))
            liking += state_utility(
                users.topic_utility[row], trait[d + 2 :], users.recent[row], item
            )
            level = liking + QUALITY_WEIGHT * (trait[d + 1] * GRID) - ENJOYMENT_BIAS
            joy = 0.0
            for j in range(len(HERMITE_NODES)):
                joy += HERMITE_WEIGHTS[j] * sigmoid_of(level + ENJOYMENT_NOISE * HERMITE_NODES[j])
            mass = exp_of(liking + trait[d] * GRID - POSITION_COST * k)
            above += mass * joy
            below += mass
        out[row] = users.scale[row] * above / below
