"""A board in SQLite and in PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasteshift.leaderboard.store.database import Board, open_board


@pytest.fixture
def board(board_location: str, tmp_path: Path) -> Iterator[Board]:
    with open_board(board_location, create=True, files=tmp_path / "files") as opened:
        yield opened
