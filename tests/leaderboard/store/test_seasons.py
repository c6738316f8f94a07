"""Seasons and their secrets."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasteshift.errors import InputError
from tasteshift.leaderboard.keys import commitment
from tasteshift.leaderboard.store.database import Board
from tasteshift.leaderboard.store.files import secret_path
from tasteshift.leaderboard.store.seasons import (
    open_season,
    published_secret,
    season,
    seasons,
    secret,
)

OPENS, CLOSES = "2027-01-01T00:00:00Z", "2027-03-01T01:00:00+01:00"


def test_a_season_commits_to_a_secret_only_its_user_can_read(board: Board) -> None:
    spring = open_season(board, "spring", "quick@2", OPENS, CLOSES)
    assert (spring.opens, spring.closes) == (
        "2027-01-01T00:00:00+00:00",
        "2027-03-01T00:00:00+00:00",
    )
    content = secret(board, "spring")
    assert len(content) == 32
    assert spring.commitment == commitment(content, "spring")
    file = secret_path(board, "spring")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["spring.key"]
    open_season(board, "autumn", "quick@2", "2027-09-01T00:00:00Z", "2027-10-01T00:00:00Z")
    assert secret(board, "autumn") != content
    assert [one.name for one in seasons(board)] == ["autumn", "spring"]
    found = season(board, "spring")
    assert found is not None
    assert found.commitment == spring.commitment
    assert season(board, "winter") is None


def test_the_secret_is_published_when_the_season_closes(board: Board) -> None:
    open_season(board, "spring", "quick@2", OPENS, CLOSES)
    assert published_secret(board, "spring", "2027-02-28T23:59:59+00:00") is None
    assert published_secret(board, "spring", "2027-03-01T00:30:00+01:00") is None
    published = published_secret(board, "spring", "2027-03-01T00:00:00+00:00")
    assert published is not None
    assert bytes.fromhex(published) == secret(board, "spring")
    assert published_secret(board, "winter", CLOSES) is None


def test_a_season_is_opened_once(board: Board) -> None:
    def begin(number: int) -> bool:
        try:
            open_season(board, "spring", "quick@2", OPENS, CLOSES)
        except InputError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(begin, range(8))).count(True) == 1
    assert len(secret(board, "spring")) == 32


def test_a_replaced_or_missing_secret_is_detected(board: Board) -> None:
    open_season(board, "spring", "quick@2", OPENS, CLOSES)
    secret_path(board, "spring").write_bytes(bytes(32))
    with pytest.raises(InputError, match="does not match its commitment"):
        secret(board, "spring")
    secret_path(board, "spring").unlink()
    with pytest.raises(InputError, match="lost its secret"):
        secret(board, "spring")


@pytest.mark.parametrize(
    ("name", "opens", "closes"),
    [
        ("spring", CLOSES, OPENS),
        ("spring", OPENS, OPENS),
        ("spring", "2027-01-01T00:00:00", CLOSES),
        ("spring", "soon", CLOSES),
        ("../spring", OPENS, CLOSES),
        ("spring\n", OPENS, CLOSES),
    ],
)
def test_an_invalid_season_is_not_opened(board: Board, name: str, opens: str, closes: str) -> None:
    with pytest.raises(InputError):
        open_season(board, name, "quick@2", opens, closes)
    assert seasons(board) == []
    assert not list(board.files.rglob("*.key"))
