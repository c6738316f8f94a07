"""The rows of the board, worked out again only when something was added to it."""

from __future__ import annotations

from threading import Lock
from typing import Any

from sqlalchemy import func, select

from ..board_rows import RankFrom, board_rows
from ..store.database import Board
from ..store.schema import Event, Invalidation, Result

Row = dict[str, Any]


class Rows:
    """Nothing on a board ever changes, so how much there is tells whether it is the same."""

    def __init__(self, board: Board, rank_from: RankFrom) -> None:
        self._board, self._rank_from = board, rank_from
        self._size: tuple[int, ...] = ()
        self._kept: list[Row] = []
        self._lock = Lock()

    def of(self, suite: str | None) -> list[Row]:
        """What `board_rows` gives for all suites, or for one suite id."""
        with self._lock:
            size = self._now()
            if size != self._size:
                self._kept = board_rows(self._board, rank_from=self._rank_from)
                self._size = size
            return [row for row in self._kept if suite in (None, row["suite"])]

    def _now(self) -> tuple[int, ...]:
        """Results, errata, and refusals, which tell of attempts that were lost."""
        refused = select(func.count()).select_from(Event).where(Event.state == "refused")
        counts = [select(func.count()).select_from(table) for table in (Result, Invalidation)]
        with self._board.session() as session:
            return tuple(session.scalar(count) or 0 for count in (*counts, refused))
