"""Influence: items shown and consumed move the user's taste towards themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...records import NOTHING
from ...validation import SHARE, check
from ..numerics.arrays import Floats, Ints, Units
from ..numerics.compiled import compiled
from ..numerics.grid import GRID, on_grid_of
from ..numerics.prefetch import prefetch
from ..numerics.vectors import dot_of, normalize


@dataclass(frozen=True)
class Influence:
    """Strengths of the influence.

    Dean & Morgenstern 2022, "Preference Dynamics Under Personalized Recommendations" (after
    Hązła et al. 2019): consumption moves a taste towards the item if it was liked, away from it
    if not. Exposure and the anchor that follows are ours.

    consumption  η in [0, 1], effect of the item consumed
    exposure     η_e in [0, 1], much smaller: effect of the items merely shown
    anchor       η_a in [0, 1], share of the way that the long-run anchor follows the taste
    """

    consumption: float
    exposure: float
    anchor: float

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, consumption=SHARE, exposure=SHARE, anchor=SHARE)


def influence(
    params: Influence,
    taste: Floats,
    anchor: Floats,
    interest: Ints,
    traits: Units,
    chosen: Ints,
    slates: Ints,
) -> tuple[Floats, Floats]:
    """Tastes and anchors (B, M, d) after a turn; one interest of each user moves, `interest` (B).

    The taste moves first towards the mean latent of the items shown, with η_e, then towards the
    item consumed, with η:

        x ← ‖x‖ · norm(u + η ⟨u, z̃⟩ z̃)    u = x / ‖x‖, z̃ = z / ‖z‖

    The angle to an item consumed repeatedly obeys tan θ' = tan θ / (1 + η). Where an item was
    consumed the anchor follows: a ← norm((1 − η_a) a + η_a u). This moves
    along the great circle of slerp(a, u, η_a) with tan φ = η_a sin θ / (1 − η_a + η_a cos θ), and
    needs no arc cosine. Interests that do not move keep their bits.

    interest  NOTHING where none moves
    traits    (n, ≥ d) item latents in grid units; further columns are ignored
    chosen    (B) items, slates: (B, K); NOTHING where there is none
    """
    new_taste, new_anchor = taste.copy(), anchor.copy()
    strengths = params.consumption, params.exposure, params.anchor
    _influence_rows(strengths, interest, traits, chosen, slates, new_taste, new_anchor)
    return new_taste, new_anchor


@compiled
def _influence_rows(
    strengths: tuple[float, float, float],
    interest: Ints,
    traits: Units,
    chosen: Ints,
    slates: Ints,
    taste: Floats,
    anchor: Floats,
) -> int:
    """`influence` in place. Returns the sum of `prefetch`, which callers ignore."""
    consumption, exposure, follow = strengths
    target, moved = np.empty(taste.shape[2]), np.empty(taste.shape[2])
    prefetched = 0
    for row in range(len(taste)):
        if interest[row] == NOTHING:
            continue
        x, a = taste[row, interest[row]], anchor[row, interest[row]]
        if exposure > 0.0:
            prefetched += prefetch(traits, slates[min(row + 1, len(slates) - 1)])
            target[:] = 0.0
            for item in slates[row]:
                if item != NOTHING:
                    for j in range(target.size):
                        target[j] += traits[item, j] * GRID
            normalize(target)
            _pull(x, target, exposure, moved)
        if chosen[row] != NOTHING:
            for j in range(target.size):
                target[j] = traits[chosen[row], j] * GRID
            normalize(target)
            _pull(x, target, consumption, moved)
            if follow > 0.0:
                target[:] = x
                normalize(target)
                for j in range(a.size):
                    a[j] = on_grid_of((1.0 - follow) * a[j] + follow * target[j])
                normalize(a)
    return prefetched


@compiled
def _pull(x: Floats, target: Floats, rate: float, moved: Floats) -> None:
    """x ← ‖x‖ · norm(x + η ⟨x, z̃⟩ z̃) in place; equal to the formula with u, which is x / ‖x‖."""
    squared = dot_of(x, x)
    along = rate * dot_of(x, target)
    for j in range(x.size):
        moved[j] = on_grid_of(x[j] + along * target[j])
    after = dot_of(moved, moved)
    if after > 0.0:
        stretch = math.sqrt(squared / after)
        for j in range(x.size):
            x[j] = on_grid_of(moved[j] * stretch)
