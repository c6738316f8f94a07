"""Ground-truth user state, for reference policies and metrics; never given to agents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..catalogs.fitting.expected_latents import expected_latents
from ..catalogs.load import load_data
from ..catalogs.overlays import base_name
from ..numerics.arrays import Floats, Ints, Units
from ..numerics.grid import on_grid
from ..simulator.choice import item_traits, position
from ..simulator.population import Population
from ..simulator.rules import avoided_topic
from ..simulator.world import World
from .counterfactual import organic_policy
from .optimal_slate import allowed, appraise, best_slate, expected_reward
from .planning import plan

Slate = tuple[int, ...]
UserState = Population
"""A population of one: a user's state at some moment."""


class GroundTruth:
    """A live view of the user's state in one environment; follows its steps."""

    def __init__(self, world: World, now: Callable[[], Population]) -> None:
        self.world = world
        self._now = now
        self._appraised_state: Population | None = None
        self._appraised: tuple[Floats, Floats]
        self._best: tuple[Slate, float] | None

    def user_state(self) -> UserState:
        """The present state; later steps of the environment do not change it."""
        return self._now()

    def taste(self) -> Floats:
        """(M, d) the present taste, on the grid."""
        taste: Floats = self._now().taste[0].copy()
        return taste

    def interests(self) -> Units:
        """(M, d) the interests that choices use now, in grid units."""
        interests: Units = self._now().interests[0].copy()
        return interests

    def breaches(self, slate: Slate) -> int:
        """Number of items whose true minimum age is above the user's age."""
        user = int(self._now().user[0])
        shown = self.world.hidden.maturity[self._entered(slate)]
        return int((shown > self.world.hidden.ages[user]).sum())

    def violations(self, slate: Slate) -> int:
        """Number of items with the topic that the user has ruled out."""
        topic = int(avoided_topic(self.world, self._now())[0])
        return int(self.world.catalog.topic[list(slate), topic].sum()) if topic >= 0 else 0

    def expected(self, slate: Slate) -> float:
        """E[reward | slate, the user's state]; 0 for an empty slate."""
        utility, reward = self.appraisal()
        present = self.world.entry_day[list(slate)] <= self._now().day[0]
        shown = self._entered(slate)
        placed = utility[shown] + position(len(slate))[present]
        return expected_reward(placed, reward[shown], self.world.outside_utility)

    def best(
        self,
        believed: UserState | None = None,
        traits: Units | None = None,
        showable: NDArray[np.bool_] | None = None,
    ) -> tuple[Slate, float]:
        """The best safe slate for the user's state, and its expected reward.

        believed  state whose interests, topic utilities and scale replace the present ones
        traits    (n, W) item traits in place of the true ones, such as `expected_traits`
        showable  (n) items to choose from in place of the `allowed` ones; items that have not
                  entered the catalog are always left out

        The reward is the expected one under these beliefs.
        """
        if believed is None and traits is None:
            utility, reward = self.appraisal()
            if showable is not None:
                return self._optimum(utility, reward, showable)
            if self._best is None:
                self._best = self._optimum(utility, reward)
            return self._best
        state = self._now()
        if believed is not None:
            state = replace(
                state,
                interests=believed.interests,
                topic_utility=believed.topic_utility,
                scale=believed.scale,
            )
        return self._optimum(*appraise(self.world, state, traits), showable)

    def expected_traits(self, modalities: frozenset[str]) -> Units:
        """Expected item traits given `modalities`, see `expected_traits`."""
        return expected_traits(base_name(self.world.catalog.name), modalities)

    def planned(self, depth: int = 1, rollout: int = 0) -> Slate:
        """The first slate of a plan, see `planning.plan`."""
        return plan(self.world, self._now(), depth, rollout)[0]

    def organic(self) -> Slate:
        """An organic slate, see `counterfactual.organic_policy`."""
        return tuple(int(item) for item in organic_policy(self.world, self._now())[0] if item >= 0)

    def allowed(self) -> NDArray[np.bool_]:
        """(n) items that may be shown now: entered, suitable, and not ruled out."""
        return allowed(self.world, self._now())

    def appraisal(self) -> tuple[Floats, Floats]:
        """Utility without position (n) and expected reward (n) of every item, in this state."""
        now = self._now()
        if self._appraised_state is not now:
            self._appraised = appraise(self.world, now)
            self._appraised_state, self._best = now, None
        return self._appraised

    def _entered(self, slate: Slate) -> Ints:
        """The items of a slate that have entered the catalog."""
        shown = np.array(slate, dtype=np.int64)
        entered: Ints = shown[self.world.entry_day[shown] <= self._now().day[0]]
        return entered

    def _optimum(
        self, utility: Floats, reward: Floats, showable: NDArray[np.bool_] | None = None
    ) -> tuple[Slate, float]:
        if showable is None:
            candidates = self.allowed()
        else:
            candidates = showable & (self.world.entry_day <= self._now().day[0])
        candidate_utility = np.where(candidates, utility, -np.inf)
        slate, value = best_slate(
            candidate_utility, reward, self.world.outside_utility, self.world.slate_size
        )
        return tuple(int(item) for item in slate), value


@lru_cache(maxsize=8)
def expected_traits(catalog: str, modalities: frozenset[str]) -> Units:
    """(n, W) item traits with z = E[z | modalities], and appeal and quality at their means.

    modalities  any of "text" and "image"; topics keep their true values
    """
    data = load_data(catalog)
    z = expected_latents(data, modalities)
    appeal, quality = (
        on_grid(np.full(len(z), part.mean())) for part in (data.hidden.appeal, data.hidden.quality)
    )
    return item_traits(z, appeal, quality, data.public.topic)
