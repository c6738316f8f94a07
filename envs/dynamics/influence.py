"""Influence: what is shown and consumed pulls the taste that it was meant to serve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ..grid import GRID

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
    new_taste, new_anchor = taste.copy(), anchor.copy()
    _influence_rows(
        (params.consumption, params.exposure, params.anchor),
        new_taste,
        new_anchor,
        interest,
        np.ascontiguousarray(chosen_z),
        picked,
        np.ascontiguousarray(shown_z),
        shown,
    )
    return new_taste, new_anchor


@compiled
def _influence_rows(
    strengths: tuple[float, float, float],
    taste: Floats,
    anchor: Floats,
    interest: NDArray[np.int64],
    chosen_z: Floats,
    picked: Flags,
    shown_z: Floats,
    shown: Flags,
) -> None:
    """`influence`, in place."""
    consumption, exposure, follow = strengths
    towards = np.empty(taste.shape[2])
    for row in range(len(taste)):
        x, a = taste[row, interest[row]], anchor[row, interest[row]]
        if exposure > 0.0:
            towards[:] = 0.0
            for k in range(shown.shape[1]):
                if shown[row, k]:
                    towards += shown_z[row, k]
            _to_unit(towards)
            _pull(x, towards, exposure)
        if picked[row]:
            towards[:] = chosen_z[row]
            _to_unit(towards)
            _pull(x, towards, consumption)
            if follow > 0.0:
                towards[:] = x
                _to_unit(towards)
                for j in range(a.size):
                    a[j] = np.rint(((1.0 - follow) * a[j] + follow * towards[j]) / GRID) * GRID
                _to_unit(a)


@compiled
def _pull(x: Floats, towards: Floats, rate: float) -> None:
    """x ← ‖x‖ · norm(x + η ⟨x, z̃⟩ z̃), the same as with u in place of x inside."""
    before = _dot(x, x)
    along = rate * _dot(x, towards)
    leant = np.empty(x.size)
    for j in range(x.size):
        leant[j] = np.rint((x[j] + along * towards[j]) / GRID) * GRID
    after = _dot(leant, leant)
    if after > 0.0:
        stretch = math.sqrt(before / after)
        for j in range(x.size):
            x[j] = np.rint(leant[j] * stretch / GRID) * GRID


@compiled
def _to_unit(x: Floats) -> None:
    """x ← x / ‖x‖ on the grid; zero stays zero."""
    square = _dot(x, x)
    if square > 0.0:
        length = math.sqrt(square)
        for j in range(x.size):
            x[j] = np.rint(x[j] / length / GRID) * GRID


@compiled
def _dot(x: Floats, y: Floats) -> float:
    """⟨x, y⟩, exact for bounded values on the grid."""
    total = 0.0
    for j in range(x.size):
        total += x[j] * y[j]
    return total
