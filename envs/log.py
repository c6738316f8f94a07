"""The training log: what the users did under a popularity-biased policy before day 0."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from . import philox
from .philox import Purpose
from .population import begin, respond
from .public import Log, PublicWorld
from .world import World, build_world

SEED = 1
SLATES, SLATE_SIZE = 24, 10
POPULARITY_POWER = 0.75


@lru_cache(maxsize=8)
def simulate_log(catalog: str) -> Log:
    """Every user of the catalog sees up to 24 slates of up to 10 distinct items.

    Items are drawn without replacement with probability ∝ popularity^0.75 (Gumbel top-k), so
    that no item is shown twice to one user; tastes are the users' stationary anchors.
    """
    world = build_world(catalog, "stationary", 1)
    n = len(world.catalog)
    size = min(SLATE_SIZE, n)
    slates = min(SLATES, n // size)
    user = np.arange(world.num_users)
    draws = philox.uniform(SEED, user[:, None], 0, Purpose.LOG_SLATE, np.arange(n))
    wanted = POPULARITY_POWER * np.log(world.catalog.popularity + 1e-9)
    score = wanted + philox.gumbel(draws)
    ranked = np.argsort(-score, axis=1, kind="stable")[:, : size * slates]

    world = build_world(catalog, "stationary", size, sessions=1, turns=slates)
    start = begin(world, SEED, user)
    users, items, ratings = [], [], []
    for k in range(slates):
        now = replace(start, turn=np.full_like(start.turn, k))
        response = respond(world, now, ranked[:, k * size : (k + 1) * size])
        picked = response.chosen >= 0
        users.append(user[picked])
        items.append(response.chosen[picked])
        ratings.append(response.reward[picked])
    order = np.argsort(np.concatenate(users), kind="stable")
    return Log(
        world.num_users,
        np.concatenate(users)[order],
        np.concatenate(items)[order],
        np.concatenate(ratings)[order],
    )


def public_world(world: World, seed: int = 0) -> PublicWorld:
    """What agents may study of `world` before the first life."""
    return PublicWorld(world.catalog, simulate_log(world.catalog.name), world.slate_size, seed)
