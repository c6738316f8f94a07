"""What a user does with a slate: a multinomial logit, then enjoyment of what was chosen.

A user has M interests u_m with weights w_m, and likes an item for whichever interest it serves:

    liking_j  = log Σ_m w_m e^{β⟨u_m, z_j⟩} + topics_j − repeat_j
    utility_j = liking_j + appeal_j + position_k                     nothing has utility v_0
    reward    = scale · σ(liking_j + 0.35 quality_j − b + 0.6 ε)        of what was chosen, else 0

where topics_j is the mean over the item's topics of what the user's present state adds to each.
The choice is the multinomial logit (McFadden 1974), drawn as a race: item j arrives at time
E_j / e^{utility_j} with E_j exponential, and the first to arrive is chosen, which is the Gumbel-max
draw without its outer logarithms. E_j and ε are keyed by item, so that re-ordering a slate redraws
nothing, and independent of each other: what appeals is not what is good.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...records import NOTHING
from ..numerics import elementary as exact
from ..numerics.compiled import compiled
from ..numerics.elementary import exp_of, exps, log_of, logs, normal_quantile_of, sigmoid_of
from ..numerics.grid import GRID
from ..numerics.philox import MASK, Words, philox, unit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Units = NDArray[np.int32]
"""Numbers on the grid, counted in grid units; their dot products are integer sums."""

POSITION_COST = 0.12
REPEAT_COST = 3.0
QUALITY_WEIGHT = 0.35
ENJOYMENT_BIAS = 3.5
ENJOYMENT_NOISE = 0.6
TEN = math.sqrt(10)
INNER, OUTER = math.sqrt(5 - TEN), math.sqrt(5 + TEN)
NODES = (-OUTER, -INNER, 0.0, INNER, OUTER)
WEIGHTS = ((7 - 2 * TEN) / 60, (7 + 2 * TEN) / 60, 8 / 15, (7 + 2 * TEN) / 60, (7 - 2 * TEN) / 60)
"""Five-point Gauss–Hermite quadrature for a standard normal: the roots of He₅ in closed form."""
SQUARE_UNIT = GRID * GRID


@compiled
def dot(u: Units, z: Units) -> float:
    """⟨u, z⟩ of two grid vectors, exactly."""
    total = np.int64(0)
    for k in range(u.size):
        total += np.int64(u[k]) * np.int64(z[k])
    return float(total) * SQUARE_UNIT


@compiled
def served(beta: float, interests: Units, weights: Floats, z: Units) -> float:
    """Σ_m w_m e^{β⟨u_m, z⟩} for interests (M, d), their weights (M) and one item (d)."""
    total = 0.0
    for m in range(weights.size):
        total += weights[m] * exp_of(beta * dot(interests[m], z))
    return total


@compiled
def state_part(topic_utility: Floats, topics: Units, recent: Ints, item: int) -> float:
    """What the user's present state adds to an item: mean over its topics, minus a repeat's cost.

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


def item_traits(z: Floats, appeal: Floats, quality: Floats, topic: NDArray[np.bool_]) -> Units:
    """(n, d + 2 + P) all that a choice needs of an item, side by side and in grid units.

    Columns: z, appeal, quality, and the item's topics padded with NOTHING. One item costs one
    visit to memory however large the catalog is.
    """
    n, most = len(z), max(int(topic.sum(axis=1).max()), 1)
    topics = np.full((n, most), NOTHING, dtype=np.int32)
    item, which = np.nonzero(topic)
    place = np.arange(len(item)) - np.searchsorted(item, item)
    topics[item, place] = which
    units = [
        np.rint(part / GRID).astype(np.int32) for part in (z, appeal[:, None], quality[:, None])
    ]
    return np.ascontiguousarray(np.hstack([*units, topics]))


@compiled
def respond_rows(
    beta: float,
    nothing: float,
    traits: Units,
    seed: Words,
    user: Ints,
    time: Ints,
    purpose: int,
    interests: Units,
    weights: Floats,
    topic_utility: Floats,
    scale: Floats,
    recent: Ints,
    slates: Ints,
    chosen: Ints,
    reward: Floats,
) -> int:
    """Fill `chosen` and `reward` (B) with what users (B) do with slates (B, K).

    Shapes as in `Population` and `World`; a slot that holds NOTHING is empty. Returns a number
    without meaning: it keeps the reads alive that fetch the next row's items ahead of time.
    """
    size, d = slates.shape[1], interests.shape[2]
    lanes, many = (size + 8) // 8 * 8, (size * interests.shape[1] + 7) // 8 * 8
    word_a, word_b = np.zeros(lanes, np.uint64), np.zeros(lanes, np.uint64)
    word_c, word_d = np.zeros(lanes, np.uint64), np.zeros(lanes, np.uint64)
    shown = np.empty((size, traits.shape[1]), np.int32)
    liked, added = np.empty(size), np.empty(size)
    score, drive = np.zeros(many), np.zeros(lanes)
    wait, room = np.empty(lanes), np.empty(lanes)
    outside = exp_of(nothing)
    touched = 0
    for row in range(len(slates)):
        slate = slates[row]
        for k in range(size + 1):
            word_a[k] = np.uint64(slate[k - 1] + 1 if k else 0) & MASK
            word_b[k], word_c[k] = np.uint64(user[row]) & MASK, np.uint64(time[row]) & MASK
            word_d[k] = np.uint64(purpose)
        ahead = slates[min(row + 1, len(slates) - 1)]
        for k in range(size):
            for j in range(0, traits.shape[1], 16):
                touched += traits[max(ahead[k], 0), j]
            touched += traits[max(ahead[k], 0), -1]
        for k in range(size):
            for j in range(shown.shape[1]):
                shown[k, j] = traits[max(slate[k], 0), j]
        philox(word_a, word_b, word_c, word_d, seed[row])
        for k in range(lanes):
            wait[k] = unit(word_a[k], word_b[k])
        logs(wait, room)
        for k in range(size):
            for m in range(interests.shape[1]):
                score[k * interests.shape[1] + m] = beta * dot(interests[row, m], shown[k, :d])
            added[k] = state_part(topic_utility[row], shown[k, d + 2 :], recent[row], slate[k])
            drive[k] = added[k] + shown[k, d] * GRID - POSITION_COST * k
        exps(score)
        exps(drive)
        first, arrival = NOTHING, -wait[0] / outside
        for k in range(size):
            liked[k] = 0.0
            for m in range(interests.shape[1]):
                liked[k] += weights[row, m] * score[k * interests.shape[1] + m]
            when = -wait[k + 1] / (liked[k] * drive[k])
            if slate[k] != NOTHING and when < arrival:
                first, arrival = k, when
        chosen[row], reward[row] = NOTHING, 0.0
        if first != NOTHING:
            noise = normal_quantile_of(unit(word_c[first + 1], word_d[first + 1]))
            level = log_of(liked[first]) + added[first] - ENJOYMENT_BIAS
            level += QUALITY_WEIGHT * (shown[first, d + 1] * GRID) + ENJOYMENT_NOISE * noise
            chosen[row], reward[row] = slate[first], scale[row] * sigmoid_of(level)
    return touched


@compiled
def appraise_rows(
    beta: float,
    traits: Units,
    interests: Units,
    weights: Floats,
    topic_utility: Floats,
    recent: Ints,
    liking: Floats,
) -> None:
    """Fill `liking` (n) with one user's liking of every item; arguments as in `respond_rows`."""
    d = interests.shape[1]
    for item in range(len(traits)):
        serves = served(beta, interests, weights, traits[item, :d])
        added = state_part(topic_utility, traits[item, d + 2 :], recent, item)
        liking[item] = log_of(serves) + added


def position(size: int) -> Floats:
    """(K) utility that a position adds: 0 at the top, POSITION_COST less at each step down."""
    return -POSITION_COST * np.arange(size, dtype=np.float64)


def expected_enjoyment(liking: Floats, quality: Floats) -> Floats:
    """E[enjoyment] over its noise, by five-point Gauss–Hermite quadrature; all arrays (n)."""
    level = liking + QUALITY_WEIGHT * quality - ENJOYMENT_BIAS
    mean = np.zeros_like(level)
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        mean += weight * exact.sigmoid(level + ENJOYMENT_NOISE * node)
    return mean
