"""Random baseline: uniform slates, the zero of every normalized score."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..envs.catalogs.public import PublicData
from ..records import Action, Brief, Observation


class RandomAgent:
    """Shows full slates drawn uniformly from the whole catalog, without learning."""

    name = "random"

    def __init__(self) -> None:
        self._num_items = 0

    def config(self) -> dict[str, Any]:
        """No options."""
        return {}

    def prepare(self, public: PublicData) -> None:
        """Read the size of the catalog."""
        self._num_items = len(public.catalog)

    def start(self, brief: Brief) -> RandomSession:
        """Open a session whose draws depend on `brief.seed` alone."""
        return RandomSession(self._num_items, brief)


class RandomSession:
    """One user's random slates."""

    def __init__(self, num_items: int, brief: Brief) -> None:
        self._num_items = num_items
        self._slate_size = brief.slate_size
        self._rng = np.random.default_rng(brief.seed)

    def act(self, observation: Observation) -> Action:
        """The items with the largest of independent uniform draws."""
        order = np.argsort(-self._rng.random(self._num_items), kind="stable")
        return Action(tuple(order[: self._slate_size].tolist()))
