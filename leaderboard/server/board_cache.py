"""The rows of the board, computed again only when something was added to it."""

from __future__ import annotations

from threading import Lock
from typing import Any

from sqlalchemy import func, select

from ..board_rows import RankFrom, board_rows
from ..store.database import Board
from ..store.schema import Event, Invalidation, Result

Row = dict[str, Any]


class BoardCache:
    """Cached `board_rows`. A board only grows, so its size says whether the rows are current."""

    def __init__(self, board: Board, rank_from: RankFrom) -> None:
        self._board, self._rank_from = board, rank_from
        self._size: tuple[int, ...] = ()
        self._rows: list[Row] = []
        self._lock = Lock()

    def of(self, suite: str | None) -> list[Row]:
        """Rows of one suite id, or of all suites."""
        with self._lock:
            size = self._current_size()
            if size != self._size:
                self._rows = board_rows(self._board, rank_from=self._rank_from)
                self._size = size
            return [row for row in self._rows if suite in (None, row["suite"])]

    def _current_size(self) -> tuple[int, ...]:
        """Numbers of results, invalidations, and refusals (a refused attempt changes its row)."""
        refused = select(func.count()).select_from(Event).where(Event.state == "refused")
        counts = [select(func.count()).select_from(table) for table in (Result, Invalidation)]
        with self._board.session() as session:
            return tuple(session.scalar(count) or 0 for count in (*counts, refused))
