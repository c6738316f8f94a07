"""User choice: a multinomial logit over the slate, then the enjoyment of the chosen item.

A user has M interests u_m with weights w_m. For item j with latent vector z_j at position k:

    liking_j  = log Σ_m w_m e^{β⟨u_m, z_j⟩} + topics_j − repeat_j
    utility_j = liking_j + appeal_j + position_k              the outside option has utility v_0
    reward    = scale · σ(liking_j + 0.35 quality_j − b + 0.6 ε)     of the chosen item, else 0

where topics_j is the mean over the item's topics of the utility that the user state adds to each.
The choice is the multinomial logit (McFadden 1974), drawn as an exponential race: the item
with the smallest E_j / e^{utility_j}, E_j exponential, is chosen, which is the Gumbel-max draw
without its outer logarithms. E_j and ε are independent and keyed by item, so re-ordering a slate
changes no draw. Appeal enters the choice only, quality the enjoyment only.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ...records import NOTHING
from ..numerics import elementary
from ..numerics.arrays import Bools, Floats, Ints, Units, Words
from ..numerics.compiled import compiled
from ..numerics.elementary import exp_of, exps, log_of, logs, normal_quantile_of, sigmoid_of
from ..numerics.grid import GRID
from ..numerics.philox import MASK, philox, uniform_of
from ..numerics.prefetch import prefetch
from ..numerics.vectors import dot_units

POSITION_COST = 0.12
REPEAT_COST = 3.0
QUALITY_WEIGHT = 0.35
ENJOYMENT_BIAS = 3.5
ENJOYMENT_NOISE = 0.6
TEN = math.sqrt(10)
INNER, OUTER = math.sqrt(5 - TEN), math.sqrt(5 + TEN)
HERMITE_NODES = (-OUTER, -INNER, 0.0, INNER, OUTER)
HERMITE_WEIGHTS = (
    (7 - 2 * TEN) / 60,
    (7 + 2 * TEN) / 60,
    8 / 15,
    (7 + 2 * TEN) / 60,
    (7 - 2 * TEN) / 60,
)
"""Five-point Gauss–Hermite quadrature for a standard normal: the roots of He₅ in closed form."""


@compiled
def affinity(beta: float, interests: Units, weights: Floats, z: Units) -> float:
    """Σ_m w_m e^{β⟨u_m, z⟩} for interests (M, d), their weights (M) and one item (d)."""
    total = 0.0
    for m in range(weights.size):
        total += weights[m] * exp_of(beta * dot_units(interests[m], z))
    return total


@compiled
def state_utility(topic_utility: Floats, topics: Units, recent: Ints, item: int) -> float:
    """Utility that the user state adds to an item: mean over its topics, less the repeat cost.

    topic_utility  (T) on the grid
    topics         (P) topics of the item, padded with NOTHING
    recent         (W) the last items chosen
    """
    total, count = 0.0, 0
    for t in topics:
        if t < 0:
            break
        total += topic_utility[t]
        count += 1
    if count > 1:
        total /= count
    seen = False
    for k in range(recent.size):
        seen |= bool(recent[k] == item)
    return total - REPEAT_COST if seen else total


def item_traits(z: Floats, appeal: Floats, quality: Floats, topic: Bools) -> Units:
    """(n, d + 2 + P) item columns that a choice reads, contiguous and in grid units.

    Columns: z, appeal, quality, and the item's topics padded with NOTHING. One item is
    one contiguous read, however large the catalog is.
    """
    n, most = len(z), max(int(topic.sum(axis=1).max()), 1)
    topics = np.full((n, most), NOTHING, dtype=np.int32)
    item, which = np.nonzero(topic)
    column = np.arange(len(item)) - np.searchsorted(item, item)
    topics[item, column] = which
    units = [
        np.rint(part / GRID).astype(np.int32) for part in (z, appeal[:, None], quality[:, None])
    ]
    return np.ascontiguousarray(np.hstack([*units, topics]))


class ChoiceModel(NamedTuple):
    """Constants of the choice model, in a form that compiled functions take.

    beta             β, weight of taste
    outside_utility  v_0, utility of choosing nothing
    traits           (n, W) items, see `item_traits`
    """

    beta: float
    outside_utility: float
    traits: Units


class ChoiceState(NamedTuple):
    """User state that a choice depends on, one row per user (B); see `Population`.

    seed, user, time  (B) address of the draws
    interests         (B, M, d) directions u_m in grid units
    weights           (B, M) w_m
    topic_utility     (B, T) utility that the user state adds to each topic
    scale             (B) factor on the reward
    recent            (B, W) the last items chosen
    """

    seed: Words
    user: Ints
    time: Ints
    interests: Units
    weights: Floats
    topic_utility: Floats
    scale: Floats
    recent: Ints


@compiled
def fill_responses(
    model: ChoiceModel,
    users: ChoiceState,
    purpose: int,
    slates: Ints,
    chosen: Ints,
    reward: Floats,
) -> int:
    """Fill `chosen` and `reward` (B) with the responses of users (B) to slates (B, K).

    NOTHING marks an empty slot. Returns the sum of `prefetch`, which callers ignore.
    """
    beta, outside_utility, traits = model
    seed, user, time, interests, weights, topic_utility, scale, recent = users
    size, m_count, d = slates.shape[1], interests.shape[1], interests.shape[2]
    # Padded to whole vectors of the processor; the results of padded lanes are not used.
    lanes, padded = (size + 8) // 8 * 8, (size * m_count + 7) // 8 * 8
    word_a, word_b = np.zeros(lanes, np.uint64), np.zeros(lanes, np.uint64)
    word_c, word_d = np.zeros(lanes, np.uint64), np.zeros(lanes, np.uint64)
    shown = np.empty((size, traits.shape[1]), np.int32)
    affinities, added = np.empty(size), np.empty(size)
    score, attraction = np.zeros(padded), np.zeros(lanes)
    log_draw, workspace = np.empty(lanes), np.empty(lanes)
    outside, prefetched = exp_of(outside_utility), 0
    for row in range(len(slates)):
        slate = slates[row]
        for k in range(size + 1):
            word_a[k] = np.uint64(slate[k - 1] + 1 if k else 0) & MASK
            word_b[k], word_c[k] = np.uint64(user[row]) & MASK, np.uint64(time[row]) & MASK
            word_d[k] = np.uint64(purpose)
        prefetched += prefetch(traits, slates[min(row + 1, len(slates) - 1)])
        for k in range(size):
            for j in range(shown.shape[1]):
                shown[k, j] = traits[max(slate[k], 0), j]
        philox(word_a, word_b, word_c, word_d, seed[row])
        for k in range(lanes):
            log_draw[k] = uniform_of(word_a[k], word_b[k])
        logs(log_draw, workspace)
        for k in range(size):
            for m in range(m_count):
                score[k * m_count + m] = beta * dot_units(interests[row, m], shown[k, :d])
            added[k] = state_utility(topic_utility[row], shown[k, d + 2 :], recent[row], slate[k])
            attraction[k] = added[k] + shown[k, d] * GRID - POSITION_COST * k
        exps(score)
        exps(attraction)
        first, earliest = NOTHING, -log_draw[0] / outside
        for k in range(size):
            affinities[k] = 0.0
            for m in range(m_count):
                affinities[k] += weights[row, m] * score[k * m_count + m]
            arrival = -log_draw[k + 1] / (affinities[k] * attraction[k])
            if slate[k] != NOTHING and arrival < earliest:
                first, earliest = k, arrival
        chosen[row], reward[row] = NOTHING, 0.0
        if first != NOTHING:
            noise = normal_quantile_of(uniform_of(word_c[first + 1], word_d[first + 1]))
            level = log_of(affinities[first]) + added[first] - ENJOYMENT_BIAS
            level += QUALITY_WEIGHT * (shown[first, d + 1] * GRID) + ENJOYMENT_NOISE * noise
            chosen[row], reward[row] = slate[first], scale[row] * sigmoid_of(level)
    return prefetched


@compiled
def fill_liking(
    beta: float,
    traits: Units,
    interests: Units,
    weights: Floats,
    topic_utility: Floats,
    recent: Ints,
    liking: Floats,
) -> None:
    """Fill `liking` (n) with one user's liking of the items `traits` (n, W).

    interests (M, d), weights (M), topic_utility (T), recent (W): the user's rows of `ChoiceState`
    """
    d = interests.shape[1]
    for item in range(len(traits)):
        strength = affinity(beta, interests, weights, traits[item, :d])
        added = state_utility(topic_utility, traits[item, d + 2 :], recent, item)
        liking[item] = log_of(strength) + added


def position(size: int) -> Floats:
    """(K) utility of the positions: 0 at the top, POSITION_COST less at each step down."""
    return -POSITION_COST * np.arange(size, dtype=np.float64)


def expected_enjoyment(liking: Floats, quality: Floats) -> Floats:
    """Expected enjoyment over its noise, by five-point Gauss–Hermite quadrature; all arrays (n)."""
    level = liking + QUALITY_WEIGHT * quality - ENJOYMENT_BIAS
    mean = np.zeros_like(level)
    for node, weight in zip(HERMITE_NODES, HERMITE_WEIGHTS, strict=True):
        mean += weight * elementary.sigmoid(level + ENJOYMENT_NOISE * node)
    return mean
