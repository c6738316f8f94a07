"""Inputs of an episode: its environment seed, its user, and the slates of its actions."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...records import NOTHING
from ..numerics import philox
from ..numerics.arrays import Bools, Ints, Words
from ..numerics.compiled import compiled
from ..numerics.philox import Purpose
from .world import World


def episode_seed(seed: ArrayLike, episode: ArrayLike) -> Words:
    """Environment seed of the episode with this number after a reset with `seed`.

    Episode 0 has `seed` itself. Both arguments may be arrays, which broadcast.
    """
    later = philox.uniform(seed, 0, episode, Purpose.EPISODES) * 2.0**52
    return np.where(np.asarray(episode) == 0, philox.words(seed), later.astype(np.uint64))


def draw_users(world: World, seed: ArrayLike) -> Ints:
    """Eligible user rows (B) for environment seeds (B), or for one; raises InputError."""
    eligible = _eligible(world)
    draw = philox.uniform(seed, 0, 0, Purpose.POPULATION).reshape(-1)
    return eligible[(draw * len(eligible)).astype(np.int64)]


def requested_users(world: World, row: Any, count: int) -> Ints:
    """User rows as an array (count); raises InputError for a row that is not eligible."""
    eligible = _eligible(world)
    given = _array(row)
    if given.dtype.kind not in "iu":
        raise InputError(f"user {_short(row)} is not a row; give one integer per episode")
    if given.size not in (1, count):
        raise InputError(
            f"{given.size} users do not fit {count} episodes; give one row per episode"
        )
    users = np.broadcast_to(given.reshape(-1), (count,))
    for user in users[~np.isin(users, eligible)]:
        raise InputError(
            f"user {user!s} is not eligible for scenario {world.scenario.name!r}; "
            f"rows run from {eligible[0]} to {eligible[-1]}"
        )
    return users.astype(np.int64)


def _eligible(world: World) -> Ints:
    rows = world.eligible_users()
    if not len(rows):
        raise InputError(
            f"catalog {world.catalog.name!r} has no user for scenario {world.scenario.name!r}; "
            f"choose a larger catalog or another scenario"
        )
    return rows


def validated_slates(world: World, action: Any, shape: tuple[int, ...]) -> Ints:
    """The slates of an action as int64 of this shape; raises InputError outside the space.

    Integers of any type and lists of them are accepted; floats, bools and strings are not.
    """
    try:
        slates = _array(action["slate"])
    except (TypeError, KeyError, IndexError):
        slates = np.array(None)
    n = len(world.catalog)
    whole = slates.shape == shape and slates.dtype.kind in "iu"
    if not (whole and slates.min() >= NOTHING and slates.max() < n):
        raise InputError(
            f"action {_short(action)} is not in the action space: {{'slate': array}} of shape "
            f"{shape} with item indices from {NOTHING} to {n - 1} is expected"
        )
    return np.ascontiguousarray(slates, dtype=np.int64)


def without_repeats(slates: Ints, over: Bools) -> Ints:
    """Slates (B, K) with NOTHING for repeated items, and for all items where `over` (B)."""
    out = np.empty_like(slates)
    _fill_without_repeats(slates, over, out)
    return out


@compiled
def _fill_without_repeats(slates: Ints, over: Bools, out: Ints) -> None:
    for row in range(len(slates)):
        for k in range(slates.shape[1]):
            item = NOTHING if over[row] else slates[row, k]
            for earlier in range(k):
                if slates[row, earlier] == item:
                    item = NOTHING
            out[row, k] = item


def _array(value: Any) -> NDArray[Any]:
    """The value as an array; an object array where NumPy cannot convert it."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError):
        return np.array(None)


def _short(value: Any) -> str:
    return textwrap.shorten(repr(value), 80, placeholder="...")
