"""`World`: catalog, scenario and calibrated constants of one environment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...records import NOTHING, AgeGroup, ObservedAgeGroup
from ...validation import COUNT, number
from ..catalogs.catalog import Catalog
from ..catalogs.latents import Latents
from ..catalogs.load import load_data
from ..catalogs.overlays import UNKNOWN, apply, base_name
from ..dynamics.cold import CATALOG_SEED, entry_days, is_cold
from ..dynamics.long_term_satisfaction import kaleness
from ..dynamics.user_attributes import age_group
from ..numerics import elementary, philox
from ..numerics.arrays import Floats, Ints, Units
from ..numerics.grid import GRID, on_grid
from ..numerics.philox import Purpose
from .choice import fill_liking, item_traits, position
from .scenarios import SCENARIOS, Scenario

SIMULATOR_VERSION = "3"
"""Changes exactly when the golden traces change."""

TASTE_SPREAD = 2.0
CALIBRATION_SLATES = 4096
CALIBRATION_ITEMS = 2000


@dataclass(frozen=True, eq=False)
class World:
    """Everything about an environment that stays fixed during an episode.

    catalog    public data, with the scenario's overlay
    hidden     latent data, never given to agents
    beta       weight of taste, set so that β⟨u_m, z⟩ has standard deviation TASTE_SPREAD over
               interests and items
    outside_utility  v_0, set so that a random slate of `slate_size` is refused half of the time
    traits     (n, W) item columns that a choice reads, see `item_traits`
    entry_day  (n) first day on which an item can be shown
    """

    catalog: Catalog
    hidden: Latents
    scenario: Scenario
    slate_size: int
    beta: float
    outside_utility: float
    traits: Units
    entry_day: Ints

    @property
    def num_users(self) -> int:
        """Number of users of the catalog, eligible for the scenario or not."""
        return len(self.hidden.anchors)

    @property
    def turns(self) -> int:
        """Maximum number of turns of an episode."""
        return self.scenario.sessions * self.scenario.turns

    @property
    def days(self) -> int:
        """Maximum number of days of an episode, first and last included."""
        if self.scenario.retention is not None:
            return self.scenario.retention.horizon_days
        return (self.scenario.sessions - 1) * self.scenario.gap_days + 1

    @property
    def contexts(self) -> int:
        """Number of context values."""
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
        """(n) items with false public data under the overlay; missing labels do not count."""
        public, true = self.catalog, load_data(base_name(self.catalog.name)).public
        false: NDArray[np.bool_] = public.popularity > true.popularity
        false |= (public.maturity != true.maturity) & (public.maturity != UNKNOWN)
        false |= public.sponsored != true.sponsored
        return false

    @cached_property
    def minimum_age(self) -> NDArray[np.int8]:
        """(n) true minimum ages, in one byte each to stay in the cache."""
        return self.hidden.maturity.astype(np.int8)

    @cached_property
    def kaleness(self) -> Floats:
        """(n) in [0, 1], 1 for quality and 0 for clickbait, see `long_term_satisfaction`."""
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
        """Rows of the users who are eligible for this scenario."""
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

    def observed_age_group(self, user: int) -> ObservedAgeGroup:
        """The age group that agents receive: unknown where users only say their age."""
        return self.age_group(user) if self.scenario.age_observed else "unknown"


def build_world(
    catalog: str,
    scenario: str | Scenario,
    slate_size: int,
    sessions: int | None = None,
    turns: int | None = None,
) -> World:
    """The world of an environment's arguments; raises InputError for an invalid one."""
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
    beta, outside, traits = _calibrated(catalog, slate_size)
    if scenario.overlay is not None:
        public = apply(scenario.overlay, public)
    return World(public, hidden, scenario, slate_size, beta, outside, traits, entry)


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
    no_state = np.zeros(len(data.public.topics))
    no_items = np.zeros(0, dtype=np.int64)
    liking = np.empty(slate_size)
    for k in range(CALIBRATION_SLATES):
        anchor = np.rint(hidden.anchors[user[k]] / GRID).astype(np.int32)
        shown = traits[item[k]]
        fill_liking(beta, shown, anchor, hidden.weights[user[k]], no_state, no_items, liking)
        utility = liking + hidden.appeal[item[k]] + position(slate_size)
        total[k] = elementary.exp(utility).sum()
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        outside = elementary.exp(middle)
        low, high = (low, middle) if (outside / (outside + total)).mean() > 0.5 else (middle, high)
    return beta, round(high, 6), traits


@lru_cache(maxsize=64)
def _traits(catalog: str) -> Units:
    data = load_data(catalog)
    hidden = data.hidden
    return item_traits(hidden.z, hidden.appeal, hidden.quality, data.public.topic)
