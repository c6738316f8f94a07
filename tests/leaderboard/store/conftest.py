"""A board in a file, and one on a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasteshift.leaderboard.store.database import Board, open_board


@pytest.fixture
def board(place: str, tmp_path: Path) -> Iterator[Board]:
    with open_board(place, create=True, files=tmp_path / "files") as opened:
        yield opened
