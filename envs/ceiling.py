"""The best slate there is: expected reward under the logit, maximised exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .choice import Floats, position


def expected_reward(utility: Floats, reward: Floats, nothing: float) -> float:
    """Σ_k e^{v_k} y_k / (e^{v_0} + Σ_k e^{v_k}) for one slate.

    utility  (K) v_k of the shown items, position included
    reward   (K) expected enjoyment of each
    """
    top = max(nothing, float(utility.max(initial=nothing)))
    weight = np.exp(utility - top)
    return float(weight @ reward / (np.exp(nothing - top) + weight.sum()))


def best_slate(
    utility: Floats, reward: Floats, nothing: float, size: int
) -> tuple[NDArray[np.int64], float]:
    """The slate of at most `size` items with the highest expected reward, and that reward.

    utility  (n) v_j of every allowed item without position; −inf where it must not be shown
    reward   (n) expected enjoyment

    Dinkelbach (1967) on the ratio N/D: for a given λ, N − λD is largest for the items with the
    largest positive e^{v_j}(y_j − λ), larger ones at better positions; λ ← N/D until it stands
    still, which it does after finitely many steps, at the optimum.
    """
    top = max(nothing, float(utility.max()))
    weight, outside = np.exp(utility - top), float(np.exp(nothing - top))
    discount = np.exp(position(size))
    ratio = 0.0
    while True:
        gain = weight * (reward - ratio)
        count = min(size, len(gain))
        order = np.argpartition(-gain, count - 1)[:count]
        order = order[np.lexsort((order, -gain[order]))]
        order = order[gain[order] > 0]
        mass = weight[order] * discount[: len(order)]
        better = float(mass @ reward[order] / (outside + mass.sum()))
        if better <= ratio * (1 + 1e-12):
            return order, better
        ratio = better
