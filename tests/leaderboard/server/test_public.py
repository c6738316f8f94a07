"""Public routes, and escaping on the page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasteshift.leaderboard.board_rows import board_rows
from tasteshift.leaderboard.protocol import API, VERSION
from tasteshift.leaderboard.server.board_page import board_page
from tasteshift.leaderboard.submission import submit

EVIL = "<script>alert(1)</script>\"&'"


def test_empty_board(service: Any) -> None:
    assert service.client.get("/api/v2/board").json() == []
    assert "No submission was accepted yet" in service.client.get("/").text
    assert any(s["id"] == "board-test@1" for s in service.client.get("/api/v2/suites").json())


def test_board_route_equals_board_rows(
    service: Any, runs: Callable[[str], Path], tmp_path: Path
) -> None:
    for count, agent in enumerate(("popular", "random"), 1):
        assert submit(runs(agent), tmp_path / "board.db").accepted
        rows = service.client.get("/api/v2/board").json()
        assert len(rows) == count
        assert rows == board_rows(tmp_path / "board.db")
    only = service.client.get("/api/v2/board", params={"suite": "quick@2"}).json()
    assert only == []
    html = service.client.get("/")
    assert html.headers["content-type"] == "text/html; charset=utf-8"
    assert "popular" in html.text
    assert service.client.get("/api/v2/board?suite=%00").status_code == 422


def test_copy_links_to_the_first_run(
    service: Any, runs: Callable[[str], Path], tampered: Any, tmp_path: Path
) -> None:
    submit(runs("popular"), tmp_path / "board.db")
    tampered.edit_identity(rehash=True, agent="my-own-invention")
    submit(tampered.path, tmp_path / "board.db")
    assert [service.follow(number)["same_actions"] for number in (1, 2)] == [None, 1]


def test_page_escapes_every_text(runs: Callable[[str], Path], tmp_path: Path) -> None:
    submit(runs("popular"), tmp_path / "board.db")
    (row,) = board_rows(tmp_path / "board.db")
    shown = {key: EVIL if isinstance(value, str) else value for key, value in row.items()}
    html = board_page([shown])
    assert "<script" not in html
    assert EVIL not in html
    assert html.count("&lt;script&gt;") >= 5


def test_older_protocols_are_refused_in_one_line(service: Any) -> None:
    for method, path in (("GET", "board"), ("POST", "attempts"), ("PUT", "attempts/x/lives/0")):
        response = service.client.request(method, f"/api/v1/{path}")
        assert response.status_code == 410
        detail = response.json()["detail"]
        assert f"protocol {VERSION} under {API}; update tasteshift" in detail
        assert "\n" not in detail
