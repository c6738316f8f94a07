"""An agent that TasteShift has never heard of, installed as its own package."""

from __future__ import annotations

from typing import Any

from tasteshift.envs.catalogs.public import PublicData
from tasteshift.records import Action, Brief, Observation


class TopShelf:
    """Walks through the catalog in its own order and never shows an item twice."""

    name = "top-shelf"

    def config(self) -> dict[str, Any]:
        return {}

    def prepare(self, world: PublicData) -> None:
        """There is nothing to learn."""

    def start(self, brief: Brief) -> Walk:
        return Walk(brief.slate_size)


class Walk:
    """One user's way along the shelf; `width` items a turn."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.seen = 0

    def act(self, observation: Observation) -> Action:
        first, self.seen = self.seen, self.seen + self.width
        return Action(tuple(range(first, self.seen)))
