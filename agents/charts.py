"""The charts: what the catalog calls most popular, over and over, the same for everybody."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..envs.catalogs.public import PublicData
from ..records import Brief
from .ranking import RankingSession

LENGTH = 40


class ChartsAgent:
    """Walks down the forty most popular items, as the catalog states it, and starts over.

    The lower index breaks ties. Unlike `popular`, which counts the log, it believes a number that
    can be bought: it is the positive control of a world with poisoned popularity.
    """

    name = "charts"

    def __init__(self) -> None:
        self._ranking = np.zeros(0, dtype=np.int64)

    def config(self) -> dict[str, Any]:
        """How long the charts are."""
        return {"length": LENGTH}

    def prepare(self, world: PublicData) -> None:
        """Read the charts."""
        self._ranking = np.argsort(-world.catalog.popularity, kind="stable")[:LENGTH]

    def start(self, brief: Brief) -> RankingSession:
        """Open a walk down the charts."""
        return RankingSession(self._ranking, brief)
