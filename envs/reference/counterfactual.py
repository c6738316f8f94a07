"""Twins: the same users under the same luck, but shown something else.

Every draw is keyed by what it is for, so two lives that differ in one decision, or in one item,
share all the randomness that this does not touch. What a policy did to people, and not what
happened to them anyway, is the difference between twins.
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

It may be called with any subset of the users; what it shows one must not depend on the others.
"""

LEAST_POPULARITY = 1e-9


@dataclass(frozen=True, eq=False)
class Lives:
    """B lives side by side, on an axis of L turns: the longest life's.

    living   (B, L) whether the turn was lived; where not, NOTHING and 0 stand everywhere else
    session, day  (B, L) when the turn was
    slates   (B, L, K) what was shown; chosen: (B, L) item or NOTHING; reward: (B, L) in [0, 1]
    taste    (B, S, M, d) the taste in the last turn of each session, before its slate; NaN for
             sessions that were not lived
    end      the users after their last turn
    """

    living: NDArray[np.bool_]
    session: Ints
    day: Ints
    slates: Ints
    chosen: Ints
    reward: Floats
    taste: Floats
    end: Population


def relive(world: World, seed: ArrayLike, users: Ints, policy: Policy) -> Lives:
    """The lives of `users` (B) in worlds `seed` (one, or B) under a policy, as the simulator's own.

    The environment lives the same lives, bit for bit, where it is given the same slates; a slate
    must not hold an item twice.
    """
    now = initial_population(world, seed, np.asarray(users, dtype=np.int64))
    shape = (len(now), world.turns)
    living, reward = np.zeros(shape, dtype=bool), np.zeros(shape)
    session, day, chosen = (np.full(shape, NOTHING, dtype=np.int64) for _ in range(3))
    slates = np.full((*shape, world.slate_size), NOTHING, dtype=np.int64)
    taste = np.full((len(now), world.scenario.sessions, *now.taste.shape[1:]), np.nan)
    turn = 0
    while len(alive := np.flatnonzero(~now.over)):
        living[alive, turn] = True
        session[alive, turn], day[alive, turn] = now.session[alive], now.day[alive]
        taste[alive, now.session[alive]] = now.taste[alive]
        slates[alive, turn] = policy(world, take_rows(now, alive))
        response = respond(world, now, slates[:, turn])
        chosen[alive, turn] = response.chosen[alive]
        reward[alive, turn] = response.reward[alive]
        now = advance(world, now, slates[:, turn], response)
        turn += 1
    return Lives(
        living[:, :turn],
        session[:, :turn],
        day[:, :turn],
        slates[:, :turn],
        chosen[:, :turn],
        reward[:, :turn],
        taste,
        now,
    )


def edited(
    world: World,
    item: int,
    *,
    z: Floats | None = None,
    appeal: float | None = None,
    quality: float | None = None,
    maturity: int | None = None,
) -> World:
    """The world with one item's hidden half changed, and nothing else.

    z is put on the grid (d), as are appeal and quality. The public catalog, the other items, the
    calibration, and what users are said to like of topics stay as they were.
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
    twin = replace(world, hidden=replace(hidden, **changes), traits=traits)
    twin.__dict__["centroid_units"] = world.centroid_units
    return twin


def organic_policy(world: World, now: Population) -> Ints:
    """Slates (B, K) that nobody recommended: what users come upon by their taste and by fame.

    Items that may be shown are drawn without replacement with probability ∝ popularity ·
    Σ_m w_m e^{β⟨u_m, z⟩}, as the largest sums of logarithm and Gumbel noise (Yellott 1977). The
    noise is keyed by item and turn, so that twins come upon the same items for as long as their
    tastes agree; satiation and repeats play no part. Slots stay empty where items are too few.
    """
    n, size = len(world.catalog), world.slate_size
    fame = elementary.log(world.catalog.popularity + LEAST_POPULARITY)
    nobody, fresh = np.zeros(len(world.catalog.topics)), np.zeros(0, dtype=np.int64)
    slates = np.full((len(now), size), NOTHING, dtype=np.int64)
    time, liking = time_index(world, now), np.empty(n)
    for row in range(len(now)):
        one = take_rows(now, np.array([row]))
        fill_liking(
            world.beta, world.traits, one.interests[0], one.weights[0], nobody, fresh, liking
        )
        draws = philox.uniform(one.seed, one.user, time[row], Purpose.ORGANIC, np.arange(n))
        score = np.where(allowed(world, one), fame + liking + philox.gumbel(draws), -np.inf)
        order = np.argsort(-score, kind="stable")[:size]
        slates[row, : len(order)] = np.where(score[order] > -np.inf, order, NOTHING)
    return slates
