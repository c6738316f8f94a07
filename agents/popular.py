"""The most chosen items first, the same for everybody."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..envs.catalogs.public import PublicData
from ..records import Brief
from .ranking import RankingSession, popularity


class PopularAgent:
    """Ranks items by how often the log's users chose them; the lower index breaks ties."""

    name = "popular"

    def __init__(self) -> None:
        self._ranking = np.zeros(0, dtype=np.int64)

    def config(self) -> dict[str, Any]:
        """Nothing can be set."""
        return {}

    def prepare(self, world: PublicData) -> None:
        """Count the log."""
        count = popularity(world.log, len(world.catalog))
        self._ranking = np.argsort(-count, kind="stable")

    def start(self, brief: Brief) -> RankingSession:
        """Open a walk down the ranking."""
        return RankingSession(self._ranking, brief)
