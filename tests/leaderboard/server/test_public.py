"""What anybody may read, and that names on the page cannot do anything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasteshift.leaderboard.board_rows import board_rows
from tasteshift.leaderboard.server.board_page import page
from tasteshift.leaderboard.submission import submit

EVIL = "<script>alert(1)</script>\"&'"


def test_an_empty_board(service: Any) -> None:
    assert service.client.get("/api/v1/board").json() == []
    assert "Nothing was accepted yet" in service.client.get("/").text
    assert any(s["id"] == "board-test@1" for s in service.client.get("/api/v1/suites").json())


def test_the_board_is_what_board_rows_gives(
    service: Any, runs: Callable[[str], Path], tmp_path: Path
) -> None:
    for count, agent in enumerate(("popular", "random"), 1):
        assert submit(runs(agent), tmp_path / "board.db").accepted
        rows = service.client.get("/api/v1/board").json()
        assert len(rows) == count
        assert rows == board_rows(tmp_path / "board.db")
    only = service.client.get("/api/v1/board", params={"suite": "quick@2"}).json()
    assert only == []
    html = service.client.get("/")
    assert html.headers["content-type"] == "text/html; charset=utf-8"
    assert "popular" in html.text
    assert service.client.get("/api/v1/board?suite=%00").status_code == 422


def test_a_copy_is_linked_to_the_first(
    service: Any, runs: Callable[[str], Path], tampered: Any, tmp_path: Path
) -> None:
    submit(runs("popular"), tmp_path / "board.db")
    tampered.edit_identity(rehash=True, agent="my-own-invention")
    submit(tampered.path, tmp_path / "board.db")
    assert [service.follow(number)["same_actions"] for number in (1, 2)] == [None, 1]


def test_the_page_escapes_every_word(runs: Callable[[str], Path], tmp_path: Path) -> None:
    submit(runs("popular"), tmp_path / "board.db")
    (row,) = board_rows(tmp_path / "board.db")
    shown = {key: EVIL if isinstance(value, str) else value for key, value in row.items()}
    html = page([shown])
    assert "<script" not in html
    assert EVIL not in html
    assert html.count("&lt;script&gt;") >= 5
