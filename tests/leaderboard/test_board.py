"""From runs to the rows and the table of a board."""

import io
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tasteshift.errors import InputError
from tasteshift.leaderboard.board import board_rows
from tasteshift.leaderboard.store import open_board
from tasteshift.leaderboard.submission import submit
from tasteshift.leaderboard.table import board_table
from tasteshift.suites.evaluate import evaluate

Runs = Callable[[str], Path]


def printed(rows: list[dict[str, Any]], width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(board_table(rows))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_board_of_several_runs(
    runs: Runs, scribe_run: Callable[..., Path], tmp_path: Path
) -> None:
    board = tmp_path / "boards" / "local.db"
    for path in (runs("random"), runs("popular"), runs("oracle"), scribe_run()):
        receipt = submit(path, board)
        assert receipt.accepted, receipt.line()
        assert receipt.new
    rows = board_rows(board)
    assert [row["agent"] for row in rows][:1] == ["oracle"]
    assert [row["agent"] for row in rows][-1] == "scribe"
    by_agent = {row["agent"]: row for row in rows}
    assert all(row["rank_low"] is row["rank_high"] is None for row in rows)
    assert all(row["trust"] == "replayed" for row in rows)
    assert all(row["suite"] == "board-test@1" for row in rows)
    assert all(not isinstance(value, (list, dict)) for row in rows for value in row.values())
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows

    assert by_agent["random"]["normalised_return"] == 0
    assert by_agent["oracle"]["normalised_return"] == 1
    assert by_agent["random"]["unranked"] == "public seeds"
    assert by_agent["oracle"]["unranked"] == "privileged"
    assert by_agent["random"]["tasks"] == "2/2"
    assert by_agent["random"]["normalised_return_trust"] == "replayed"
    assert by_agent["random"]["decision_latency_p50_trust"] == "reported"

    scribe = by_agent["scribe"]
    assert (scribe["tasks"], scribe["unranked"]) == ("1/2", "tasks missing")
    assert (scribe["decoder"], scribe["pair"]) == ("mcsd", "quill")
    assert "normalised_return" not in scribe
    assert "first/normalised_return" in scribe
    assert scribe["acceptance_rate"] == pytest.approx(0.25)
    assert scribe["acceptance_rate_trust"] == "reported"
    assert {row["shared_task"] for row in rows} == {"first"}

    table = printed(rows)
    for word in ("oracle*", "scribe", "mcsd", "replayed", "reported", "2/2", "0.25"):
        assert word in table
    assert max(len(line) for line in table.splitlines()) <= 120


def test_intervals_are_stored_and_shown(suite: Any, tmp_path: Path) -> None:
    run = evaluate("popular", suite.name, users=20, out=tmp_path / "run")
    board = tmp_path / "board.db"
    assert submit(run.out, board).accepted
    (row,) = board_rows(board)
    assert row["suite"] == "board-test@1+users=20"
    assert row["unranked"] == "other numbers of users or seeds"
    assert row["normalised_return_low"] < row["normalised_return"] < row["normalised_return_high"]
    recorded = run.scores.set_index(["task", "metric"])
    for task in ("first", "shift"):
        stored = [row[f"{task}/regret{end}"] for end in ("", "_low", "_high")]
        told = recorded.loc[(f"board-test/{task}", "regret"), ["value", "low", "high"]]
        assert stored == told.tolist()
    ends = (f"{row[f'normalised_return_{end}']:.2f}" for end in ("low", "high"))
    assert f"[{', '.join(ends)}]" in printed([row])


def test_the_same_run_twice_is_one_row(runs: Runs, tmp_path: Path) -> None:
    board = tmp_path / "board.db"
    first, second = (submit(runs("popular"), board) for _ in range(2))
    assert (first.id, first.new) == (1, True)
    assert (second.id, second.new, second.accepted) == (1, False, True)
    assert second.line().endswith("already on the board as #1")
    assert len(board_rows(board)) == 1


def test_a_copied_run_under_another_name_is_linked(
    runs: Runs, tampered: Any, tmp_path: Path
) -> None:
    board = tmp_path / "board.db"
    submit(runs("popular"), board)
    tampered.edit_identity(rehash=True, agent="my-own-invention")
    receipt = submit(tampered.path, board)
    assert (receipt.accepted, receipt.new, receipt.same_actions) == (True, True, 1)
    assert receipt.line().endswith("shows the same slates as #1")
    linked = {row["agent"]: row["same_actions"] for row in board_rows(board)}
    assert linked == {"popular": None, "my-own-invention": 1}


def test_a_refused_run_leaves_no_trace(tampered: Any, tmp_path: Path) -> None:
    board = tmp_path / "board.db"
    tampered.edit_row("steps", 5, reward=2.0)
    receipt = submit(tampered.path, board)
    assert not receipt.accepted
    assert receipt.id is None
    assert "reward 2.0 recorded" in receipt.line()
    assert receipt.row()["accepted"] is False
    assert json.loads(json.dumps(receipt.row())) == receipt.row()
    assert not board.exists()


def test_rows_can_be_restricted_to_a_suite(runs: Runs, tmp_path: Path) -> None:
    board = tmp_path / "board.db"
    submit(runs("popular"), board)
    assert len(board_rows(board, "board-test@1")) == 1
    assert board_rows(board, "quick@1") == []
    assert "Nothing was submitted" in printed(board_rows(board, "quick@1"))


def test_where_there_is_no_board(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="submit a run first"):
        board_rows(tmp_path / "board.db")
    assert not (tmp_path / "board.db").exists()
    notes, other = tmp_path / "notes.txt", tmp_path / "other.db"
    notes.write_text("not a database, but long enough to be taken for a broken one" * 20)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE submissions (id INTEGER)")
    connection.close()
    for path in (notes, other):
        before = path.read_bytes()
        with pytest.raises(InputError, match=path.name):
            board_rows(path)
        with pytest.raises(InputError, match=path.name):
            submit(runs("popular"), path)
        assert path.read_bytes() == before
    for name in (tmp_path, "https://board.example", ""):
        with pytest.raises(InputError, match="name a database file"):
            board_rows(name)


def test_nothing_on_a_board_can_be_rewritten(runs: Runs, tmp_path: Path) -> None:
    board = tmp_path / "board.db"
    submit(runs("popular"), board)
    with open_board(board) as opened, opened._engine.connect() as connection:
        for statement in ("DELETE FROM submissions", "UPDATE submissions SET agent = 'me'"):
            with pytest.raises(IntegrityError, match="only ever added"):
                connection.execute(text(statement))
    assert board_rows(board)[0]["agent"] == "popular"
