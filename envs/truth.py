"""What is really going on in one life: for the recorder and for oracles, never for agents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..records import NOTHING
from .ceiling import best_slate, expected_reward
from .choice import REPEAT_COST, Floats, affinity, expected_enjoyment, position
from .population import Population
from .world import World


class Truth:
    """A live view of one user's state; it moves on as the environment does."""

    def __init__(self, world: World, now: Callable[[], Population]) -> None:
        self.world = world
        self._now = now
        self._known: Population | None = None
        self._appraised: tuple[Floats, Floats]
        self._best: tuple[tuple[int, ...], float] | None

    def taste(self) -> Floats:
        """(d) the current taste."""
        taste: Floats = self._now().taste[0].copy()
        return taste

    def breaches(self, slate: tuple[int, ...]) -> int:
        """Items of a slate whose minimum age is above the user's age."""
        return int(self._unsuitable()[list(slate)].sum()) if slate else 0

    def expected(self, slate: tuple[int, ...]) -> float:
        """E[reward | slate, the user's state]; 0 for an empty slate."""
        utility, reward = self._current()
        shown = np.array(slate, dtype=np.int64)
        placed = utility[shown] + position(len(shown))
        return expected_reward(placed, reward[shown], self.world.nothing)

    def best(self, taste: Floats | None = None) -> tuple[tuple[int, ...], float]:
        """The best safe slate for the user's state, or as if the taste were `taste`.

        Returns the slate and its expected reward under that taste.
        """
        if taste is not None:
            return self._optimum(*self._appraise(taste))
        utility, reward = self._current()
        if self._best is None:
            self._best = self._optimum(utility, reward)
        return self._best

    def _optimum(self, utility: Floats, reward: Floats) -> tuple[tuple[int, ...], float]:
        safe = np.where(self._unsuitable(), -np.inf, utility)
        slate, value = best_slate(safe, reward, self.world.nothing, self.world.slate_size)
        return tuple(int(item) for item in slate), value

    def _current(self) -> tuple[Floats, Floats]:
        """Appraisal of all items in the user's state, worked out once per turn."""
        now = self._now()
        if self._known is not now:
            self._known, self._appraised, self._best = now, self._appraise(now.taste[0]), None
        return self._appraised

    def _appraise(self, taste: Floats) -> tuple[Floats, Floats]:
        """Utility without position (n) and expected enjoyment (n) of every item."""
        hidden, recent = self.world.hidden, self._now().recent[0]
        liking = affinity(self.world.beta, taste[None], hidden.z)[0]
        liking[recent[recent != NOTHING]] -= REPEAT_COST
        return liking + hidden.appeal, expected_enjoyment(liking, hidden.quality)

    def _unsuitable(self) -> NDArray[np.bool_]:
        return self.world.unsuitable(int(self._now().user[0]))
