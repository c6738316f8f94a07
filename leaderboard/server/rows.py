"""The rows of the board, worked out again only when something was added to it."""

from __future__ import annotations

from threading import Lock
from typing import Any

from sqlalchemy import func, select

from ..board import RankFrom, board_rows
from ..store.database import Board
from ..store.schema import Invalidation, Result

Row = dict[str, Any]
KEPT = 16


class Rows:
    """Nothing on a board ever changes, so how much there is tells whether it is the same."""

    def __init__(self, board: Board, rank_from: RankFrom) -> None:
        self._board, self._rank_from = board, rank_from
        self._kept: dict[tuple[int, int, str | None], list[Row]] = {}
        self._lock = Lock()

    def of(self, suite: str | None) -> list[Row]:
        """What `board_rows` gives for all suites, or for one suite id."""
        with self._lock:
            with self._board.session() as session:
                results, errata = (
                    session.scalar(select(func.count()).select_from(table)) or 0
                    for table in (Result, Invalidation)
                )
            key = (results, errata, suite)
            if key not in self._kept:
                while len(self._kept) >= KEPT:
                    del self._kept[next(iter(self._kept))]
                self._kept[key] = board_rows(self._board, suite, rank_from=self._rank_from)
            return self._kept[key]
