"""Counterfactual episodes: the same users and random numbers under another policy or item.

Every draw is addressed by its purpose, so two episodes that differ in one decision, or in one
item, share all random numbers that the difference does not affect. Their difference is the effect
of the policy alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...records import NOTHING
from ..numerics import elementary, philox
from ..numerics.arrays import Floats, Ints
from ..numerics.grid import on_grid
from ..numerics.philox import Purpose
from ..simulator.choice import fill_liking
from ..simulator.population import Population, initial_population, take_rows
from ..simulator.turn import advance, respond, time_index
from ..simulator.world import World
from .optimal_slate import allowed

Policy = Callable[[World, Population], Ints]
"""From users (B) to their slates (B, K): item indices, best first, NOTHING in empty slots.

It may be called with any subset of the users; a user's slate must not depend on the others.
"""

MIN_POPULARITY = 1e-9


@dataclass(frozen=True, eq=False)
class Trajectories:
    """B simulated episodes, padded to the L turns of the longest one.

    active   (B, L) whether the turn took place; elsewhere the other arrays hold NOTHING and 0
    session, day  (B, L) of the turn
    slates   (B, L, K) items shown; chosen: (B, L) item or NOTHING; reward: (B, L) in [0, 1]
    taste    (B, S, M, d) taste in the last turn of each session, before its slate; NaN for
             sessions that did not take place
    end      the users after their last turn
    """

    active: NDArray[np.bool_]
    session: Ints
    day: Ints
    slates: Ints
    chosen: Ints
    reward: Floats
    taste: Floats
    end: Population


def simulate_policy(world: World, seed: ArrayLike, users: Ints, policy: Policy) -> Trajectories:
    """Episodes of `users` (B) under a policy, with environment seeds `seed` (one, or B).

    Bit-exact with the environment's episodes for the same slates; a slate must not hold an item
    twice.
    """
    now = initial_population(world, seed, np.asarray(users, dtype=np.int64))
    shape = (len(now), world.turns)
    active, reward = np.zeros(shape, dtype=bool), np.zeros(shape)
    session, day, chosen = (np.full(shape, NOTHING, dtype=np.int64) for _ in range(3))
    slates = np.full((*shape, world.slate_size), NOTHING, dtype=np.int64)
    taste = np.full((len(now), world.scenario.sessions, *now.taste.shape[1:]), np.nan)
    turn = 0
    while len(running := np.flatnonzero(~now.over)):
        active[running, turn] = True
        session[running, turn], day[running, turn] = now.session[running], now.day[running]
        taste[running, now.session[running]] = now.taste[running]
        slates[running, turn] = policy(world, take_rows(now, running))
        response = respond(world, now, slates[:, turn])
        chosen[running, turn] = response.chosen[running]
        reward[running, turn] = response.reward[running]
        now = advance(world, now, slates[:, turn], response)
        turn += 1
    return Trajectories(
        active[:, :turn],
        session[:, :turn],
        day[:, :turn],
        slates[:, :turn],
        chosen[:, :turn],
        reward[:, :turn],
        taste,
        now,
    )


def edit_item(
    world: World,
    item: int,
    *,
    z: Floats | None = None,
    appeal: float | None = None,
    quality: float | None = None,
    maturity: int | None = None,
) -> World:
    """The world with the latents of one item changed.

    z (d), appeal and quality are rounded to the grid. The public catalog, the other items, the
    calibration, and the topic centroids stay.
    """
    hidden, changes = world.hidden, {}
    traits = world.traits.copy()
    d = hidden.z.shape[1]
    for name, value, columns in (
        ("z", z, slice(0, d)),
        ("appeal", appeal, slice(d, d + 1)),
        ("quality", quality, slice(d + 1, d + 2)),
    ):
        if value is not None:
            column = getattr(hidden, name).copy()
            column[item] = on_grid(np.asarray(value, dtype=np.float64))
            changes[name] = column
            traits[item, columns] = np.rint(column[item] * 2.0**20)
    if maturity is not None:
        column = hidden.maturity.copy()
        column[item] = maturity
        changes["maturity"] = column
    counterfactual = replace(world, hidden=replace(hidden, **changes), traits=traits)
    counterfactual.__dict__["centroid_units"] = world.centroid_units
    return counterfactual


def organic_policy(world: World, now: Population) -> Ints:
    """Organic slates (B, K): items that users find without a recommender, by taste and popularity.

    Allowed items are drawn without replacement with probability ∝ popularity ·
    Σ_m w_m e^{β⟨u_m, z⟩}, as the largest sums of logarithm and Gumbel noise (Yellott 1977). The
    noise is addressed by item and turn, so counterfactual episodes get the same items while their
    tastes agree. Satiation and repeats have no effect. Slots stay empty where items are too few.
    """
    n, size = len(world.catalog), world.slate_size
    log_share = elementary.log(world.catalog.popularity + MIN_POPULARITY)
    unmoved, nothing = np.zeros(len(world.catalog.topics)), np.zeros(0, dtype=np.int64)
    slates = np.full((len(now), size), NOTHING, dtype=np.int64)
    time, liking = time_index(world, now), np.empty(n)
    for row in range(len(now)):
        one = take_rows(now, np.array([row]))
        fill_liking(
            world.beta,
            world.traits,
            one.interests[0],
            one.weights[0],
            unmoved,
            nothing,
            liking,
        )
        draws = philox.uniform(one.seed, one.user, time[row], Purpose.ORGANIC, np.arange(n))
        score = np.where(allowed(world, one), log_share + liking + philox.gumbel(draws), -np.inf)
        order = np.argsort(-score, kind="stable")[:size]
        slates[row, : len(order)] = np.where(score[order] > -np.inf, order, NOTHING)
    return slates
