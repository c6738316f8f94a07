"""Popularity baseline: the most chosen items of the log first, the same for every user."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..envs.catalogs.public import PublicData
from ..records import Brief
from .ranking import RankingSession, choice_counts


class PopularAgent:
    """Ranks items by their number of choices in the log; the lower index breaks ties."""

    name = "popular"

    def __init__(self) -> None:
        self._ranking = np.zeros(0, dtype=np.int64)

    def config(self) -> dict[str, Any]:
        """No options."""
        return {}

    def prepare(self, public: PublicData) -> None:
        """Count the choices in the log."""
        count = choice_counts(public.log, len(public.catalog))
        self._ranking = np.argsort(-count, kind="stable")

    def start(self, brief: Brief) -> RankingSession:
        """Open a session at the top of the ranking."""
        return RankingSession(self._ranking, brief)
