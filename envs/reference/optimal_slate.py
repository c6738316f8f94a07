"""Optimal slates: exact maximization of expected reward under the multinomial logit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..numerics import elementary
from ..numerics.arrays import Floats, Ints, Units
from ..numerics.compiled import compiled
from ..numerics.elementary import exp_of
from ..numerics.grid import GRID
from ..simulator.choice import expected_enjoyment, fill_liking, position
from ..simulator.population import Population
from ..simulator.rules import avoided_topic
from ..simulator.world import World


def expected_reward(utility: Floats, reward: Floats, nothing: float) -> float:
    """Σ_k e^{v_k} y_k / (e^{v_0} + Σ_k e^{v_k}) for one slate.

    utility  (K) v_k of the shown items, position included
    reward   (K) expected enjoyment of each
    """
    return float(_ratio(elementary.exp(utility), reward, exp_of(nothing)))


def best_slate(utility: Floats, reward: Floats, nothing: float, size: int) -> tuple[Ints, float]:
    """The slate of at most `size` items with the highest expected reward, and that reward.

    utility  (n) v_j of every allowed item without position; −inf for items not to show
    reward   (n) expected enjoyment; items with negative reward are never shown

    Dinkelbach (1967) on the ratio N/D: for a given λ, N − λD is largest for the items with the
    largest positive e^{v_j}(y_j − λ), larger ones at better positions. λ ← N/D converges to the
    optimum in finitely many steps. Ties go to the lowest index.
    """
    order = np.empty(min(size, len(utility)), dtype=np.int64)
    discount = elementary.exp(position(size))
    count, value = fill_best_slate(
        elementary.exp(utility), reward, exp_of(nothing), discount, order
    )
    return order[:count], float(value)


def appraise(world: World, now: Population, traits: Units | None = None) -> tuple[Floats, Floats]:
    """Utility without position (n) and expected reward (n) of all items for a population of one.

    traits  (n, W) item traits in rank of the true ones, see `item_traits`
    """
    traits = world.traits if traits is None else traits
    d = now.interests.shape[2]
    liking = np.empty(len(traits))
    fill_liking(
        world.beta,
        traits,
        now.interests[0],
        now.weights[0],
        now.topic_utility[0],
        now.recent[0],
        liking,
    )
    appeal, quality = traits[:, d : d + 2].T.astype(np.float64) * GRID
    reward = now.scale[0] * expected_enjoyment(liking, quality)
    return liking + appeal, reward


def allowed(world: World, now: Population) -> NDArray[np.bool_]:
    """(n) items that may be shown to a population of one: entered, suitable, not ruled out."""
    suitable: NDArray[np.bool_] = world.hidden.maturity <= world.hidden.ages[int(now.user[0])]
    suitable &= world.entry_day <= int(now.day[0])
    topic = int(avoided_topic(world, now)[0])
    if topic >= 0:
        suitable &= ~world.catalog.topic[:, topic]
    return suitable


@compiled
def _ratio(mass: Floats, reward: Floats, outside: float) -> float:
    """Σ mass · reward / (outside + Σ mass), summed in order."""
    above, below = 0.0, outside
    for k in range(mass.size):
        above += mass[k] * reward[k]
        below += mass[k]
    return above / below


@compiled
def fill_best_slate(
    weight: Floats, reward: Floats, outside: float, discount: Floats, order: Ints
) -> tuple[int, float]:
    """Write the best slate into `order` (K); returns its length and its expected reward.

    weight   (n) e^{v_j} without position; reward: (n); outside: e^{v_0}
    discount (K) factor on e^{v_j} by position
    """
    gains = np.empty(order.size)
    ratio = 0.0
    while True:
        count = 0
        for item in range(weight.size):
            gain = weight[item] * (reward[item] - ratio)
            if gain <= 0.0 or (count == order.size and (count == 0 or gain <= gains[count - 1])):
                continue
            count = min(count + 1, order.size)
            rank = count - 1
            while rank > 0 and gains[rank - 1] < gain:
                gains[rank], order[rank] = gains[rank - 1], order[rank - 1]
                rank -= 1
            gains[rank], order[rank] = gain, item
        above, below = 0.0, outside
        for rank in range(count):
            mass = weight[order[rank]] * discount[rank]
            above += mass * reward[order[rank]]
            below += mass
        better = above / below
        if better <= ratio * (1.0 + 1e-12):
            return count, better
        ratio = better
