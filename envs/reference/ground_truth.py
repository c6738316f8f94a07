"""What is really going on in one life: for the recorder and for oracles, never for agents."""

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
"""A population of one, as something to believe in."""


class GroundTruth:
    """A live view of one user's state; it moves on as the environment does."""

    def __init__(self, world: World, now: Callable[[], Population]) -> None:
        self.world = world
        self._now = now
        self._known: Population | None = None
        self._appraised: tuple[Floats, Floats]
        self._best: tuple[Slate, float] | None

    def user_state(self) -> UserState:
        """The user as of this moment, to believe in later; never changed by the environment."""
        return self._now()

    def taste(self) -> Floats:
        """(M, d) the present taste."""
        taste: Floats = self._now().taste[0].copy()
        return taste

    def interests(self) -> Units:
        """(M, d) the directions in force, in grid units."""
        interests: Units = self._now().interests[0].copy()
        return interests

    def breaches(self, slate: Slate) -> int:
        """Items of a slate whose true minimum age is above the user's age."""
        user = int(self._now().user[0])
        shown = self.world.hidden.maturity[self._there(slate)]
        return int((shown > self.world.hidden.ages[user]).sum())

    def violations(self, slate: Slate) -> int:
        """Items of a slate that the user has ruled out."""
        topic = int(avoided_topic(self.world, self._now())[0])
        return int(self.world.catalog.topic[list(slate), topic].sum()) if topic >= 0 else 0

    def expected(self, slate: Slate) -> float:
        """E[reward | slate, the user's state]; 0 for an empty slate."""
        utility, reward = self.appraisal()
        there = self.world.entry_day[list(slate)] <= self._now().day[0]
        shown = self._there(slate)
        placed = utility[shown] + position(len(slate))[there]
        return expected_reward(placed, reward[shown], self.world.outside_utility)

    def best(
        self,
        mind: UserState | None = None,
        traits: Units | None = None,
        showable: NDArray[np.bool_] | None = None,
    ) -> tuple[Slate, float]:
        """The best safe slate for the user's state, and its expected reward.

        mind      whose interests and mood are believed instead of those of the moment
        traits    (n, W) believed instead of what the items are, such as `blind_traits`
        showable  (n) items to choose from instead of those that are `allowed`; what has not
                  entered the catalog stays out all the same

        The reward is the one to be expected under those beliefs.
        """
        if mind is None and traits is None:
            utility, reward = self.appraisal()
            if showable is not None:
                return self._optimum(utility, reward, showable)
            if self._best is None:
                self._best = self._optimum(utility, reward)
            return self._best
        believed = now = self._now()
        if mind is not None:
            believed = replace(
                now, interests=mind.interests, topic_utility=mind.topic_utility, scale=mind.scale
            )
        return self._optimum(*appraise(self.world, believed, traits), showable)

    def expected_traits(self, modalities: frozenset[str]) -> Units:
        """Traits to believe for those who see items only through `modalities`."""
        return blind_traits(base_name(self.world.catalog.name), modalities)

    def planned(self, depth: int = 1, rollout: int = 0) -> Slate:
        """The slate that looks best some turns ahead, see `planning.plan`."""
        return plan(self.world, self._now(), depth, rollout)[0]

    def organic(self) -> Slate:
        """A slate that the user might have come upon alone, see `twins.organic_policy`."""
        return tuple(int(item) for item in organic_policy(self.world, self._now())[0] if item >= 0)

    def allowed(self) -> NDArray[np.bool_]:
        """(n) items that may be shown now: in the catalog, suitable, and not ruled out."""
        return allowed(self.world, self._now())

    def appraisal(self) -> tuple[Floats, Floats]:
        """Utility without position (n) and expected reward (n) of every item, in this state."""
        now = self._now()
        if self._known is not now:
            self._appraised = appraise(self.world, now)
            self._known, self._best = now, None
        return self._appraised

    def _there(self, slate: Slate) -> Ints:
        """The items of a slate that have entered the catalog."""
        shown = np.array(slate, dtype=np.int64)
        there: Ints = shown[self.world.entry_day[shown] <= self._now().day[0]]
        return there

    def _optimum(
        self, utility: Floats, reward: Floats, showable: NDArray[np.bool_] | None = None
    ) -> tuple[Slate, float]:
        if showable is None:
            fit = self.allowed()
        else:
            fit = showable & (self.world.entry_day <= self._now().day[0])
        open_to = np.where(fit, utility, -np.inf)
        slate, value = best_slate(
            open_to, reward, self.world.outside_utility, self.world.slate_size
        )
        return tuple(int(item) for item in slate), value


@lru_cache(maxsize=8)
def blind_traits(catalog: str, modalities: frozenset[str]) -> Units:
    """(n, W) traits with z = E[z | modalities], and appeal and quality at their means.

    modalities  any of "text" and "image"; topics, which only the state needs, stay as they are
    """
    data = load_data(catalog)
    z = expected_latents(data, modalities)
    appeal, quality = (
        on_grid(np.full(len(z), part.mean())) for part in (data.hidden.appeal, data.hidden.quality)
    )
    return item_traits(z, appeal, quality, data.public.topic)
