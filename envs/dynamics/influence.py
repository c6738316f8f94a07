"""Influence: what is shown and consumed pulls the taste that it was meant to serve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...records import NOTHING
from ...validation import SHARE, check
from ..numerics.compiled import compiled
from ..numerics.directions import dot, snapped, to_unit
from ..numerics.grid import GRID

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Influence:
    """Strengths of the pull.

    Dean & Morgenstern 2022, "Preference Dynamics Under Personalized Recommendations" (after
    Hązła et al. 2019): consumption moves a taste towards the item if it was liked, away from it
    if not. Exposure and the anchor that follows are ours.

    consumption  η in [0, 1], pull of the item consumed
    exposure     η_e in [0, 1], much smaller: pull of the items merely shown
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
    interest: Integers,
    units: NDArray[np.int32],
    chosen: Integers,
    slates: Integers,
) -> tuple[Floats, Floats]:
    """Tastes and anchors (B, M, d) after a turn; of each user one interest moves, `interest` (B).

    First the direction of the mean of the z shown, long ones counting more, pulls with η_e, then
    the item consumed with η:

        x ← ‖x‖ · norm(u + η ⟨u, z̃⟩ z̃)    u = x / ‖x‖, z̃ = z / ‖z‖

    so that the angle to one item consumed again and again obeys tan θ' = tan θ / (1 + η). Where
    something was consumed the anchor follows: a ← norm((1 − η_a) a + η_a u). That is the great
    circle of slerp(a, u, η_a) walked at another pace, tan φ = η_a sin θ / (1 − η_a + η_a cos θ),
    and needs no arc cosine. An interest that nothing pulls keeps its every bit.

    interest  NOTHING where none moves
    units     (n, ≥ d) the items' latents, and anything behind them, in grid units
    chosen    (B) items, slates: (B, K); NOTHING where there is none
    """
    new_taste, new_anchor = taste.copy(), anchor.copy()
    strengths = params.consumption, params.exposure, params.anchor
    _sway(strengths, interest, units, chosen, slates, new_taste, new_anchor)
    return new_taste, new_anchor


@compiled
def _sway(
    strengths: tuple[float, float, float],
    interest: Integers,
    units: NDArray[np.int32],
    chosen: Integers,
    slates: Integers,
    taste: Floats,
    anchor: Floats,
) -> int:
    """`influence`, in place; the number returned keeps the reads ahead alive, no more."""
    consumption, exposure, follow = strengths
    towards, leant = np.empty(taste.shape[2]), np.empty(taste.shape[2])
    touched = 0
    for row in range(len(taste)):
        if interest[row] == NOTHING:
            continue
        x, a = taste[row, interest[row]], anchor[row, interest[row]]
        if exposure > 0.0:
            for item in slates[min(row + 1, len(slates) - 1)]:
                touched += units[max(item, 0), 0] + units[max(item, 0), towards.size - 1]
            towards[:] = 0.0
            for item in slates[row]:
                if item != NOTHING:
                    for j in range(towards.size):
                        towards[j] += units[item, j] * GRID
            to_unit(towards)
            _pull(x, towards, exposure, leant)
        if chosen[row] != NOTHING:
            for j in range(towards.size):
                towards[j] = units[chosen[row], j] * GRID
            to_unit(towards)
            _pull(x, towards, consumption, leant)
            if follow > 0.0:
                towards[:] = x
                to_unit(towards)
                for j in range(a.size):
                    a[j] = snapped((1.0 - follow) * a[j] + follow * towards[j])
                to_unit(a)
    return touched


@compiled
def _pull(x: Floats, towards: Floats, rate: float, leant: Floats) -> None:
    """x ← ‖x‖ · norm(x + η ⟨x, z̃⟩ z̃), the same as with u in place of x inside."""
    before = dot(x, x)
    along = rate * dot(x, towards)
    for j in range(x.size):
        leant[j] = snapped(x[j] + along * towards[j])
    after = dot(leant, leant)
    if after > 0.0:
        stretch = math.sqrt(before / after)
        for j in range(x.size):
            x[j] = snapped(leant[j] * stretch)
