"""Abrupt shift: on a hidden day a user's taste turns towards somebody else's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import philox
from ..philox import Purpose


@dataclass(frozen=True)
class Shift:
    """One turn of taste in a life.

    angle      radians by which the anchor rotates towards another fitted user's taste
    first_day  earliest day of the shift
    last_day   latest day, included; the day is uniform between the two and hidden
    """

    angle: float
    first_day: int
    last_day: int


def shift_plan(
    shift: Shift, seed: int, user: NDArray[np.int64], num_users: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The hidden day (B) on which each user's taste turns, and the user (B) it turns towards.

    The other user is drawn from all `num_users` of the world, and is never the user itself.
    """
    when, whom = philox.uniforms(seed, user, 0, Purpose.SHIFT)
    days = shift.last_day - shift.first_day + 1
    day: NDArray[np.int64] = shift.first_day + (days * when).astype(np.int64)
    step: NDArray[np.int64] = 1 + ((num_users - 1) * whom).astype(np.int64)
    return day, (user + step) % num_users


def rotate(
    anchor: NDArray[np.float64], target: NDArray[np.float64], angle: float
) -> NDArray[np.float64]:
    """Unit anchors (B, d) turned by `angle` in the plane of (anchor, target), towards target.

    cos θ · a + sin θ · norm(b − ⟨a, b⟩ a): the angle to the old anchor is θ exactly.
    """
    across = target - (anchor * target).sum(axis=1, keepdims=True) * anchor
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    turned: NDArray[np.float64] = np.cos(angle) * anchor + np.sin(angle) * across
    return turned
