"""Influence: what is shown and consumed pulls the taste that it was meant to serve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...records import NOTHING
from ..compiled import compiled
from ..directions import dot, snapped, to_unit

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Influence:
    """Strengths of the pull.

    Dean & Morgenstern 2022, "Preference Dynamics Under Personalized Recommendations" (after
    Hązła et al. 2019): consumption moves a taste towards the item if it was liked, away from it
    if not. Exposure and the anchor that follows are ours.

    consumption  η ≥ 0, pull of the item consumed
    exposure     η_e ≥ 0, much smaller: pull of the items merely shown
    anchor       η_a in [0, 1], share of the way that the long-run anchor follows the taste
    """

    consumption: float
    exposure: float
    anchor: float


def influence(
    params: Influence,
    taste: Floats,
    anchor: Floats,
    interest: NDArray[np.int64],
    chosen_z: Floats,
    picked: Flags,
    shown_z: Floats,
    shown: Flags,
) -> tuple[Floats, Floats]:
    """Tastes and anchors (B, M, d) after a turn; of each user one interest moves, `interest` (B).

    First the mean direction of the items shown pulls with η_e, then the item consumed with η:

        x ← ‖x‖ · norm(u + η ⟨u, z̃⟩ z̃)    u = x / ‖x‖, z̃ = z / ‖z‖

    so that the angle to one item consumed again and again obeys tan θ' = tan θ / (1 + η). Where
    something was consumed the anchor follows: a ← norm((1 − η_a) a + η_a u). That is the great
    circle of slerp(a, u, η_a) walked at another pace, tan φ = η_a sin θ / (1 − η_a + η_a cos θ),
    and needs no arc cosine. An interest that nothing pulls keeps its every bit.

    chosen_z  (B, d), read where `picked` (B); shown_z: (B, K, d), read where `shown` (B, K)
    """
    users, size = shown.shape
    z = np.concatenate([chosen_z, shown_z.reshape(users * size, -1)])
    row = np.arange(users)
    slots = users + np.arange(users * size).reshape(users, size)
    new_taste, new_anchor = taste.copy(), anchor.copy()
    sway(
        (params.consumption, params.exposure, params.anchor),
        z,
        np.where(picked, row, NOTHING),
        np.where(shown, slots, NOTHING),
        interest,
        new_taste,
        new_anchor,
    )
    return new_taste, new_anchor


@compiled
def sway(
    strengths: tuple[float, float, float],
    z: Floats,
    chosen: NDArray[np.int64],
    slates: NDArray[np.int64],
    interest: NDArray[np.int64],
    taste: Floats,
    anchor: Floats,
) -> None:
    """`influence` in place, of items z (n, d); where `interest` is NOTHING nothing moves.

    strengths  consumption, exposure and anchor of `Influence`
    chosen     (B) items, slates (B, K): NOTHING where there is none
    """
    consumption, exposure, follow = strengths
    towards, leant = np.empty(z.shape[1]), np.empty(z.shape[1])
    for row in range(len(taste)):
        if interest[row] == NOTHING:
            continue
        x, a = taste[row, interest[row]], anchor[row, interest[row]]
        if exposure > 0.0:
            towards[:] = 0.0
            for item in slates[row]:
                if item != NOTHING:
                    for j in range(towards.size):
                        towards[j] += z[item, j]
            to_unit(towards)
            _pull(x, towards, exposure, leant)
        if chosen[row] != NOTHING:
            towards[:] = z[chosen[row]]
            to_unit(towards)
            _pull(x, towards, consumption, leant)
            if follow > 0.0:
                towards[:] = x
                to_unit(towards)
                for j in range(a.size):
                    a[j] = snapped((1.0 - follow) * a[j] + follow * towards[j])
                to_unit(a)


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
