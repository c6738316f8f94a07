"""A world: one catalog, one scenario, and the constants that make its numbers comparable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...records import NOTHING, AgeGroup, ToldAgeGroup
from ...validation import COUNT, number
from ..catalogs.catalog import Catalog
from ..catalogs.latents import Latents
from ..catalogs.load import load_data
from ..catalogs.overlays import UNKNOWN, apply, base_name
from ..dynamics.cold import CATALOG_SEED, entry_days, is_cold
from ..dynamics.long_term_satisfaction import kaleness
from ..dynamics.people import age_group
from ..numerics import elementary as exact
from ..numerics import philox
from ..numerics.grid import GRID, on_grid
from ..numerics.philox import Purpose
from .choice import Floats, Ints, Units, appraise_rows, item_traits, position
from .scenarios import SCENARIOS, Scenario

SIMULATOR_VERSION = "3"
"""Changes exactly when the golden traces change."""

TASTE_SPREAD = 2.0
CALIBRATION_SLATES = 4096
CALIBRATION_ITEMS = 2000


@dataclass(frozen=True, eq=False)
class World:
    """Everything that stays fixed during a life.

    catalog    the public half, under the scenario's overlay if there is one
    beta       weight of taste, so that β⟨u_m, z⟩ has standard deviation TASTE_SPREAD over
               interests and items
    nothing    v_0, set so that a random slate of `slate_size` is refused half of the time
    traits     (n, W) what a choice needs of an item, see `item_traits`
    entry_day  (n) the day from which an item can be shown
    """

    catalog: Catalog
    hidden: Latents
    scenario: Scenario
    slate_size: int
    beta: float
    nothing: float
    traits: Units
    entry_day: Ints

    @property
    def num_users(self) -> int:
        """Users of the catalog, whether or not they may live in this scenario."""
        return len(self.hidden.anchors)

    @property
    def turns(self) -> int:
        """The most turns that a life can have."""
        return self.scenario.sessions * self.scenario.turns

    @property
    def days(self) -> int:
        """Calendar days that a life can have, the first and the last included."""
        if self.scenario.retention is not None:
            return self.scenario.retention.horizon_days
        return (self.scenario.sessions - 1) * self.scenario.gap_days + 1

    @property
    def contexts(self) -> int:
        """How many different context cues there are."""
        return self.scenario.recurring.regimes if self.scenario.recurring else 1

    @cached_property
    def topic_share(self) -> Floats:
        """(n, T) share of each topic in an item, on the grid; rows sum to 1 or, without one, 0."""
        topic = self.catalog.topic.astype(np.float64)
        share = on_grid(topic / np.maximum(topic.sum(axis=1, keepdims=True), 1))
        row = np.flatnonzero(topic.any(axis=1))
        share[row, topic[row].argmax(axis=1)] += 1.0 - share[row].sum(axis=1)
        return share

    @cached_property
    def main_topic(self) -> Ints:
        """(n) the topic that an item has most of, NOTHING for an item without topics."""
        return np.where(self.catalog.topic.any(axis=1), self.topic_share.argmax(axis=1), NOTHING)

    @cached_property
    def tampered(self) -> NDArray[np.bool_]:
        """(n) items of which the scenario's overlay makes the public catalog say something false.

        A label that is missing says nothing false.
        """
        told, true = self.catalog, load_data(base_name(self.catalog.name)).public
        false: NDArray[np.bool_] = told.popularity > true.popularity
        false |= (told.maturity != true.maturity) & (told.maturity != UNKNOWN)
        false |= told.sponsored != true.sponsored
        return false

    @cached_property
    def minimum_age(self) -> NDArray[np.int8]:
        """(n) true minimum ages, small enough to stay close at hand."""
        return self.hidden.maturity.astype(np.int8)

    @cached_property
    def kaleness(self) -> Floats:
        """(n) how much of each item is good rather than bait, in [0, 1]."""
        return kaleness(self.hidden.quality, self.hidden.appeal)

    @cached_property
    def centroid_units(self) -> Floats:
        """(T, d) mean latent of each topic's items minus that of all, in whole grid units."""
        members = self.catalog.topic.astype(np.float64)
        total = members.T @ self.hidden.z
        means = total / np.maximum(members.sum(axis=0), 1)[:, None]
        units: Floats = np.rint((means - self.hidden.z.sum(axis=0) / len(self.hidden.z)) / GRID)
        return units

    def eligible_users(self) -> Ints:
        """Rows of the users who may live in this scenario."""
        rows = np.arange(self.num_users)
        if self.scenario.minors_only:
            rows = rows[self.hidden.ages < 18]
        rows = rows[self.hidden.ages[rows] >= self.scenario.youngest]
        if self.scenario.cold_users is not None:
            rows = rows[is_cold(self.scenario.cold_users, rows)]
        return rows

    def sample_users(self, seed: int, count: int) -> tuple[int, ...]:
        """`count` distinct eligible user rows for a seed, ascending; raises InputError."""
        rows = self.eligible_users()
        if not 1 <= count <= len(rows):
            raise InputError(
                f"{count} users asked for, but {self.catalog.name!r} has {len(rows)} for scenario "
                f"{self.scenario.name!r}; ask for 1 to {len(rows)}"
            )
        order = np.argsort(philox.uniform(seed, rows, 0, Purpose.USERS), kind="stable")
        return tuple(sorted(int(row) for row in rows[order[:count]]))

    def age_group(self, user: int) -> AgeGroup:
        """child (under 13), teen (13 to 17) or adult."""
        return age_group(int(self.hidden.ages[user]))

    def told_age_group(self, user: int) -> ToldAgeGroup:
        """What agents are told of a user's age: unknown where the scenario leaves it to words."""
        return self.age_group(user) if self.scenario.age_told else "unknown"


def build_world(
    catalog: str,
    scenario: str | Scenario,
    slate_size: int,
    sessions: int | None = None,
    turns: int | None = None,
) -> World:
    """The world behind an environment's arguments; raises InputError for a bad one."""
    spec = scenario if isinstance(scenario, Scenario) else SCENARIOS.get(scenario)
    if sessions is not None:
        spec = replace(spec, sessions=number("sessions", sessions, COUNT))
    if turns is not None:
        spec = replace(spec, turns=number("turns", turns, COUNT))
    return _world(str(catalog), spec, number("slate_size", slate_size, COUNT))


@lru_cache(maxsize=32)
def _world(catalog: str, scenario: Scenario, slate_size: int) -> World:
    data = load_data(catalog)
    public, hidden = data.public, data.hidden
    if slate_size > len(public):
        raise InputError(
            f"slate_size {slate_size} is larger than catalog {catalog!r} with its "
            f"{len(public)} items; ask for at most {len(public)}"
        )
    entry = np.zeros(len(public), dtype=np.int64)
    if scenario.cold_items is not None:
        entry = entry_days(scenario.cold_items, CATALOG_SEED, len(public))
    beta, nothing, traits = _calibrated(catalog, slate_size)
    if scenario.overlay is not None:
        public = apply(scenario.overlay, public)
    return World(public, hidden, scenario, slate_size, beta, nothing, traits, entry)


@lru_cache(maxsize=64)
def _calibrated(catalog: str, slate_size: int) -> tuple[float, float, Units]:
    """β, v_0 and the items' traits; see `World`."""
    data = load_data(catalog)
    hidden = data.hidden
    traits = _traits(catalog)
    some = hidden.z[:: -(-len(hidden.z) // CALIBRATION_ITEMS)]
    scores = hidden.anchors.reshape(-1, hidden.anchors.shape[-1]) @ some.T
    beta = round(TASTE_SPREAD / float(scores.std()), 6)

    row = np.arange(CALIBRATION_SLATES)
    user = (len(hidden.anchors) * philox.uniform(0, row, 0, Purpose.CALIBRATION)).astype(int)
    draws = philox.uniform(0, row[:, None], 1, Purpose.CALIBRATION, np.arange(slate_size))
    item = (len(hidden.z) * draws).astype(int)
    total = np.zeros(CALIBRATION_SLATES)
    nobody = np.zeros(len(data.public.topics))
    fresh = np.zeros(0, dtype=np.int64)
    liking = np.empty(slate_size)
    for k in range(CALIBRATION_SLATES):
        anchor = np.rint(hidden.anchors[user[k]] / GRID).astype(np.int32)
        shown = traits[item[k]]
        appraise_rows(beta, shown, anchor, hidden.weights[user[k]], nobody, fresh, liking)
        utility = liking + hidden.appeal[item[k]] + position(slate_size)
        total[k] = exact.exp(utility).sum()
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        outside = exact.exp(middle)
        low, high = (low, middle) if (outside / (outside + total)).mean() > 0.5 else (middle, high)
    return beta, round(high, 6), traits


@lru_cache(maxsize=64)
def _traits(catalog: str) -> Units:
    data = load_data(catalog)
    hidden = data.hidden
    return item_traits(hidden.z, hidden.appeal, hidden.quality, data.public.topic)
