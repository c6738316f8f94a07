"""Charts: the catalog's most popular items in a fixed cycle, the same for every user."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..envs.catalogs.public import PublicData
from ..records import Brief
from .ranking import RankingSession

LENGTH = 40


class ChartsAgent:
    """Shows the forty most popular items by the catalog's `popularity`, then starts over.

    The lower index breaks ties. Unlike `popular`, which counts the log, it relies on a column that
    can be manipulated: it is the positive control of scenarios with poisoned popularity.
    """

    name = "charts"

    def __init__(self) -> None:
        self._ranking = np.zeros(0, dtype=np.int64)

    def config(self) -> dict[str, Any]:
        """The length of the cycle."""
        return {"length": LENGTH}

    def prepare(self, public: PublicData) -> None:
        """Rank the catalog by its `popularity`."""
        self._ranking = np.argsort(-public.catalog.popularity, kind="stable")[:LENGTH]

    def start(self, brief: Brief) -> RankingSession:
        """Open a session at the top of the ranking."""
        return RankingSession(self._ranking, brief)
