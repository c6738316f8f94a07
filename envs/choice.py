"""What a user does with a slate: a multinomial logit, then enjoyment of what was chosen.

Utility of item j at position k: v_jk = β⟨u, z_j⟩ + appeal_j − repeat_j + position_k; nothing has
utility v_0. The choice is argmax(v + Gumbel) (McFadden 1974) with noise keyed by item, so that
re-ordering a slate redraws nothing. Enjoyment is y_j = σ(affinity_j + quality_j − b + ε) with ε
independent of the choice: what appeals is not what is good.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .grid import on_grid

Floats = NDArray[np.float64]

POSITION_COST = 0.12
REPEAT_COST = 3.0
QUALITY_WEIGHT = 0.5
ENJOYMENT_BIAS = 2.5
ENJOYMENT_NOISE = 0.6
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
WEIGHTS /= WEIGHTS.sum()


def affinity(beta: float, taste: Floats, z: Floats) -> Floats:
    """β⟨u, z⟩ for tastes (B, d) and items (B, K, d) or (n, d), which lie on the grid.

    u = x / ‖x‖ is rounded to the grid too, so that every dot product is exact, in any order and
    on any number of threads.
    """
    u = on_grid(taste / np.linalg.norm(taste, axis=1, keepdims=True))
    scores: Floats = u @ z.T if z.ndim == 2 else np.einsum("bd,bkd->bk", u, z)
    return beta * scores


def position(size: int) -> Floats:
    """(K) utility that a position adds: 0 at the top, POSITION_COST less at each step down."""
    steps: Floats = np.arange(size, dtype=np.float64)
    return -POSITION_COST * steps


def enjoyment(affinities: Floats, quality: Floats, noise: Floats) -> Floats:
    """Enjoyment in (0, 1) for standard normal `noise`; arrays of one shape."""
    level = affinities + QUALITY_WEIGHT * quality - ENJOYMENT_BIAS
    y: Floats = 1 / (1 + np.exp(-level - ENJOYMENT_NOISE * noise))
    return y


def expected_enjoyment(affinities: Floats, quality: Floats) -> Floats:
    """E[enjoyment] over its noise, by five-point Gauss–Hermite quadrature; both (n)."""
    at_nodes = enjoyment(affinities, quality, NODES[:, None])
    mean: Floats = (WEIGHTS[:, None] * at_nodes).sum(axis=0)
    return mean


def choose(
    utility: Floats, nothing: float, noise: Floats, nothing_noise: Floats
) -> NDArray[np.int64]:
    """Chosen position (B), −1 for nothing; utility and Gumbel noise (B, K), −inf where empty."""
    best = (utility + noise).argmax(axis=1)
    top = np.take_along_axis(utility + noise, best[:, None], axis=1)[:, 0]
    chosen: NDArray[np.int64] = np.where(top > nothing + nothing_noise, best, -1)
    return chosen
