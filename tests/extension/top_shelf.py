"""A third-party agent in a package of its own, registered by entry point."""

from __future__ import annotations

from typing import Any

from tasteshift.envs.catalogs.public import PublicData
from tasteshift.records import Action, Brief, Observation


class TopShelf:
    """Shows the catalog in its own order, without repetition."""

    name = "top-shelf"

    def config(self) -> dict[str, Any]:
        return {}

    def prepare(self, public: PublicData) -> None:
        """Nothing to prepare."""

    def start(self, brief: Brief) -> TopShelfSession:
        return TopShelfSession(brief.slate_size)


class TopShelfSession:
    """One user's session; `width` items a turn."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.seen = 0

    def act(self, observation: Observation) -> Action:
        first, self.seen = self.seen, self.seen + self.width
        return Action(tuple(range(first, self.seen)))
