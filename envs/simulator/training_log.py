"""Training log: user responses to a popularity-biased policy before day 0."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from ..catalogs.latents import LOG_SEED
from ..catalogs.load import load_data
from ..catalogs.overlays import base_name
from ..catalogs.public import PublicData, TrainingLog
from ..dynamics.cold import CATALOG_SEED, ColdUsers, events_kept, is_cold
from ..numerics import elementary, philox
from ..numerics.arrays import Bools, Floats, Ints
from ..numerics.philox import Purpose
from .population import initial_population
from .turn import respond
from .world import World, build_world

SLATES, SLATE_SIZE = 24, 10
POPULARITY_POWER = 0.75
MAX_RANKED_ITEMS = 4096
RANKED_CELLS = 2**19
CUMULATIVE_SCALE = 2.0**31


def public_data(world: World, seed: int = 0) -> PublicData:
    """Data that agents may train on before the first episode."""
    return PublicData(
        world.catalog, simulate_training_log(world), world.slate_size, seed, world.entry_day
    )


def simulate_training_log(world: World) -> TrainingLog:
    """Every user of the catalog sees up to 24 slates of up to 10 distinct items.

    Items are drawn without replacement with probability ∝ popularity^0.75, so that no item is
    shown twice to one user; tastes are the users' stationary anchors. The catalog's `log_seed`
    seeds the draws. Items that enter after day 0 do not occur, and cold users keep only their first
    rows. Overlays do not affect the log, which uses the true catalog.
    """
    enters_later = world.entry_day > 0
    return _simulated(
        base_name(world.catalog.name),
        world.scenario.cold_users,
        np.packbits(enters_later).tobytes() if enters_later.any() else b"",
    )


def known_events(world: World, user: int) -> int:
    """Number of choices of one user in the log."""
    return int((simulate_training_log(world).user == user).sum())


@lru_cache(maxsize=8)
def _simulated(catalog: str, cold_users: ColdUsers | None, late: bytes) -> TrainingLog:
    data = load_data(catalog)
    popularity, num_users, seed = data.public.popularity, len(data.hidden.anchors), data.log_seed
    known = np.ones(len(popularity), dtype=bool)
    if late:
        known = np.unpackbits(np.frombuffer(late, np.uint8), count=len(known)) == 0
    if not known.any():
        nothing = np.zeros(0, dtype=np.int64)
        return TrainingLog(num_users, nothing, nothing.copy(), np.zeros(0))
    size = min(SLATE_SIZE, int(known.sum()))
    slates = min(SLATES, int(known.sum()) // size)
    user = np.arange(num_users)
    ranked = distinct_draws(user, popularity, known, size * slates, seed)

    world = build_world(catalog, "stationary", size, sessions=1, turns=slates)
    start = initial_population(world, seed, user)
    chosen, rating = np.empty((2, slates, len(user)))
    for k in range(slates):
        now = replace(start, turn=np.full_like(start.turn, k))
        response = respond(world, now, ranked[:, k * size : (k + 1) * size], Purpose.LOG_RESPONSE)
        chosen[k], rating[k] = response.chosen, response.reward
    picked = chosen.T >= 0
    if cold_users is not None:
        kept = np.where(is_cold(cold_users, user), events_kept(CATALOG_SEED, user), slates)
        picked &= picked.cumsum(axis=1) <= kept[:, None]
    rows = np.nonzero(picked)[0]
    return TrainingLog(num_users, rows, chosen.T[picked].astype(np.int64), rating.T[picked])


def distinct_draws(
    user: Ints,
    popularity: Floats,
    known: Bools,
    count: int,
    seed: int = LOG_SEED,
) -> Ints:
    """(U, count) items in the order drawn, distinct within a row, ∝ popularity^0.75 among `known`.

    Small catalogs rank all their items by Gumbel noise (Yellott 1977); large ones draw from the
    cumulative distribution and reject repeats. Both have the same distribution.
    """
    log_weight = POPULARITY_POWER * elementary.log(popularity + 1e-9)
    if len(popularity) <= MAX_RANKED_ITEMS:
        score = np.where(known, log_weight, -np.inf)
        step = max(1, RANKED_CELLS // len(score))
        return np.vstack(
            [_ranked(user[k : k + step], score, count, seed) for k in range(0, len(user), step)]
        )
    return _redrawn(
        user, np.where(known, elementary.exp(log_weight - log_weight.max()), 0.0), count, seed
    )


def _ranked(user: Ints, score: Floats, count: int, seed: int) -> Ints:
    draws = philox.uniform(seed, user[:, None], 0, Purpose.LOG_SLATE, np.arange(len(score)))
    order: Ints = np.argsort(-(score + philox.gumbel(draws)), axis=1, kind="stable")
    return order[:, :count]


def _redrawn(user: Ints, weight: Floats, count: int, seed: int) -> Ints:
    """Each slot draws again until its item differs from those of earlier slots."""
    cumulative = np.cumsum(np.rint(CUMULATIVE_SCALE * weight).astype(np.int64))
    items = np.zeros((len(user), count), dtype=np.int64)
    row, slot = (index.ravel() for index in np.indices(items.shape))
    attempt = np.zeros(items.shape, dtype=np.int64)
    while len(row):
        draws = philox.uniform(seed, user[row], attempt[row, slot], Purpose.LOG_SLATE, slot)
        mark = (draws * float(cumulative[-1])).astype(np.int64)
        items[row, slot] = np.searchsorted(cumulative, mark, side="right")
        attempt[row, slot] += 1
        row, slot = np.nonzero(_repeats(items))
    return items


def _repeats(items: Ints) -> Bools:
    """(U, K) True where an earlier slot of the row holds the same item."""
    order = np.argsort(items, axis=1, kind="stable")
    in_order = np.take_along_axis(items, order, axis=1)
    again = np.zeros(items.shape, dtype=bool)
    again[:, 1:] = in_order[:, 1:] == in_order[:, :-1]
    repeats = np.zeros_like(again)
    np.put_along_axis(repeats, order, again, axis=1)
    return repeats
