"""A world: one catalog, one scenario, and the constants that make its numbers comparable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..records import AgeGroup
from . import philox
from .catalogs.catalog import Catalog
from .catalogs.load import load_data
from .choice import Floats, affinity, position
from .latents import Latents
from .philox import Purpose
from .scenarios import SCENARIOS, Scenario

SIMULATOR_VERSION = "1"
"""Changes exactly when the golden traces change."""

TASTE_SPREAD = 1.6
CALIBRATION_SLATES = 4096


@dataclass(frozen=True, eq=False)
class World:
    """Everything that stays fixed during a life.

    beta     weight of taste in utility, so that β⟨u, z⟩ has standard deviation TASTE_SPREAD
             over users and items
    nothing  v_0, set so that a random slate of `slate_size` is refused half of the time
    """

    catalog: Catalog
    hidden: Latents
    scenario: Scenario
    slate_size: int
    beta: float
    nothing: float

    @property
    def num_users(self) -> int:
        """Users of the catalog, whether or not they may live in this scenario."""
        return len(self.hidden.anchors)

    @property
    def turns(self) -> int:
        """Turns in a whole life."""
        return self.scenario.sessions * self.scenario.turns

    def eligible_users(self) -> NDArray[np.int64]:
        """Rows of the users who may live in this scenario."""
        minors_only = self.scenario.minors_only
        rows: NDArray[np.int64] = np.flatnonzero((self.hidden.ages < 18) | (not minors_only))
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
        age = int(self.hidden.ages[user])
        return "child" if age < 13 else "teen" if age < 18 else "adult"

    def unsuitable(self, user: int) -> NDArray[np.bool_]:
        """(n) True where an item's minimum age is above the user's age."""
        above: NDArray[np.bool_] = self.catalog.maturity > self.hidden.ages[user]
        return above


def build_world(
    catalog: str,
    scenario: str,
    slate_size: int,
    sessions: int | None = None,
    turns: int | None = None,
) -> World:
    """The world behind an environment's arguments; raises InputError for a bad one."""
    spec = SCENARIOS.get(scenario)
    for what, number in (("slate_size", slate_size), ("sessions", sessions), ("turns", turns)):
        if number is not None and (not isinstance(number, int) or number < 1):
            raise InputError(f"{what} must be a whole number of at least 1, not {number!r}")
    spec = replace(spec, sessions=sessions or spec.sessions, turns=turns or spec.turns)
    return _calibrated(str(catalog), spec, slate_size)


@lru_cache(maxsize=32)
def _calibrated(catalog: str, scenario: Scenario, slate_size: int) -> World:
    data = load_data(catalog)
    if slate_size > len(data.public):
        raise InputError(
            f"slate_size {slate_size} is larger than catalog {catalog!r} with its "
            f"{len(data.public)} items; ask for at most {len(data.public)}"
        )
    scores = data.hidden.anchors @ data.hidden.z.T
    beta = round(TASTE_SPREAD / float(scores.std()), 6)
    nothing = _refusal_utility(data.hidden, beta, slate_size)
    return World(data.public, data.hidden, scenario, slate_size, beta, nothing)


def _refusal_utility(hidden: Latents, beta: float, slate_size: int) -> float:
    """v_0 at which the mean probability of nothing over random slates is one half."""
    n, num_users = len(hidden.z), len(hidden.anchors)
    row = np.arange(CALIBRATION_SLATES)
    user = (num_users * philox.uniform(0, row, 0, Purpose.CALIBRATION)).astype(int)
    draws = philox.uniform(0, row[:, None], 1, Purpose.CALIBRATION, np.arange(slate_size))
    item = (n * draws).astype(int)
    utility = affinity(beta, hidden.anchors[user], hidden.z[item]) + hidden.appeal[item]
    total: Floats = np.logaddexp.reduce(utility + position(slate_size), axis=1)
    low, high = float(total.min()), float(total.max())
    for _ in range(60):
        middle = (low + high) / 2
        refused = 1 / (1 + np.exp(total - middle))
        low, high = (low, middle) if refused.mean() > 0.5 else (middle, high)
    return round(high, 6)
