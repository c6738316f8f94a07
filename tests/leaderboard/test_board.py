"""Board rows and the terminal table."""

import io
import json
import sqlite3
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tasteshift.errors import InputError
from tasteshift.leaderboard.board_rows import board_rows
from tasteshift.leaderboard.store.database import Board, open_board
from tasteshift.leaderboard.store.queue import claim, conclude, retry
from tasteshift.leaderboard.store.results import invalidate, results
from tasteshift.leaderboard.store.schema import Result
from tasteshift.leaderboard.store.submissions import add_event, add_submission
from tasteshift.leaderboard.submission import submit
from tasteshift.leaderboard.terminal_table import board_table
from tasteshift.suites.evaluate import evaluate

Runs = Callable[[str], Path]


def printed(rows: list[dict[str, Any]], width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(board_table(rows))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_board_of_several_runs(runs: Runs, text_run: Callable[..., Path], tmp_path: Path) -> None:
    board = tmp_path / "boards" / "local.db"
    for path in (runs("random"), runs("popular"), runs("oracle"), text_run()):
        receipt = submit(path, board)
        assert receipt.accepted, receipt.line()
        assert receipt.new
    rows = board_rows(board)
    assert [row["agent"] for row in rows][:1] == ["oracle"]
    assert [row["agent"] for row in rows][-1] == "text-agent"
    by_agent = {row["agent"]: row for row in rows}
    assert all(row["rank_low"] is row["rank_high"] is None for row in rows)
    assert all(row["trust"] == "replayed" for row in rows)
    assert all(row["suite"] == "board-test@1" for row in rows)
    assert all(not isinstance(value, (list, dict)) for row in rows for value in row.values())
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows

    assert by_agent["random"]["normalized_return"] == 0
    assert by_agent["oracle"]["normalized_return"] == 1
    assert by_agent["random"]["unranked"] == "public seeds"
    assert by_agent["oracle"]["unranked"] == "privileged"
    assert by_agent["random"]["tasks"] == "2/2"
    assert by_agent["random"]["normalized_return_trust"] == "replayed"
    assert by_agent["random"]["decision_latency_p50_trust"] == "reported"

    text_agent = by_agent["text-agent"]
    assert (text_agent["tasks"], text_agent["unranked"]) == ("1/2", "tasks missing")
    assert (text_agent["decoder"], text_agent["pair"]) == ("mcsd", "test-pair")
    assert "normalized_return" not in text_agent
    assert "first/normalized_return" in text_agent
    assert text_agent["acceptance_rate"] == pytest.approx(0.25)
    assert text_agent["acceptance_rate_trust"] == "reported"
    assert {row["shared_task"] for row in rows} == {"first"}

    table = printed(rows)
    for word in ("oracle*", "text-agent", "mcsd", "replayed", "reported", "2/2", "0.25"):
        assert word in table
    assert max(len(line) for line in table.splitlines()) <= 120


def test_intervals_are_stored_and_printed(suite: Any, tmp_path: Path) -> None:
    run = evaluate("popular", suite.name, users=20, out=tmp_path / "run")
    board = tmp_path / "board.db"
    assert submit(run.out, board).accepted
    (row,) = board_rows(board)
    assert row["suite"] == "board-test@1+users=20"
    assert row["unranked"] == "other numbers of users or seeds"
    assert row["normalized_return_low"] < row["normalized_return"] < row["normalized_return_high"]
    recorded = run.scores.set_index(["task", "metric"])
    for task in ("first", "shift"):
        stored = [row[f"{task}/regret{end}"] for end in ("", "_low", "_high")]
        in_run = recorded.loc[(f"board-test/{task}", "regret"), ["value", "low", "high"]]
        assert stored == in_run.tolist()
    ends = (f"{row[f'normalized_return_{end}']:.2f}" for end in ("low", "high"))
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
    assert receipt.line().endswith("has the same slates as #1")
    linked = {row["agent"]: row["same_actions"] for row in board_rows(board)}
    assert linked == {"popular": None, "my-own-invention": 1}


def test_a_refused_run_creates_no_board(tampered: Any, tmp_path: Path) -> None:
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
    assert "There are no accepted submissions" in printed(board_rows(board, "quick@1"))


def test_opening_something_other_than_a_board(runs: Runs, tmp_path: Path) -> None:
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


def test_rows_of_a_board_cannot_be_changed(runs: Runs, tmp_path: Path) -> None:
    board = tmp_path / "board.db"
    submit(runs("popular"), board)
    with open_board(board) as opened, opened.engine.connect() as connection:
        for statement in ("DELETE FROM results", "UPDATE results SET agent = 'me'"):
            with pytest.raises(IntegrityError, match="append-only"):
                connection.execute(text(statement))
    assert board_rows(board)[0]["agent"] == "popular"


def add_attempt(
    board: Board, agent: str, pairs: list[list[float]], *, owner: str = "alice", **other: Any
) -> int:
    """Add a concluded hidden-seed attempt with these [achieved, achievable] pairs."""
    value = sum(top for top, _ in pairs) / (sum(bottom for _, bottom in pairs) or 1)
    score = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": len(pairs)}
    row = {"metric": "normalized_return", **score, "unit": "share", "direction": "higher"}
    key = f"{agent} {owner} {value} {len(results(board))}"
    about = {"agent": agent, "agent_config": {}, "decoder": "", "pair": ""}
    about |= {"simulator_trained": False, "hardware": "cpu-2"}
    one, _ = add_submission(
        board, kind="attempt", key=key, owner=owner, about=about, state="playing"
    )
    add_event(board, one.id, "queued", "", after=0)
    assert claim(board, "w", now=0.0, ttl=60.0) is not None
    columns: dict[str, Any] = {
        "suite": "tiny@1",
        "suite_hash": "s",
        "simulator_version": "3",
        "agent": agent,
        "decoder": "",
        "pair": "",
        "privileged": False,
        "identity_hash": key,
        "actions_digest": key,
        "track": "hidden-seed",
        "tasks": ["tiny/one"],
        "trust": {"normalized_return": "hidden-seed"},
        "manifest": {"identity": {"agent_config": {}}},
        "scores": [{**row, "task": "tiny/one"}],
        "timed": [],
        "overall": [{**row, "task": "all"}],
        "sums": {"normalized_return": pairs},
    }
    result = Result(submission_id=one.id, **(columns | other))
    done = (None, "refused") if not pairs else (result, "accepted")
    assert conclude(board, one.id, "w", done[1], "", done[0])
    return one.id


def returns(value: float, users: int = 30) -> list[list[float]]:
    """Pairs of users with an achievable return of 1 and a mean return of `value`."""
    return [[value + 0.05 * ((k % 5) - 2), 1.0] for k in range(users)]


def test_all_attempts_on_hidden_seeds_count(tmp_path: Path) -> None:
    with open_board(tmp_path / "board.db", create=True) as board:
        first = add_attempt(board, "good", returns(0.8))
        add_attempt(board, "weak", returns(0.3))
        add_attempt(board, "good", returns(0.0))
        add_attempt(board, "good", returns(0.35), owner="bob")
        rows = board_rows(board)
    assert [(row["agent"], row["owner"], row["attempts"]) for row in rows] == [
        ("good", "alice", 2),
        ("good", "bob", 1),
        ("weak", "alice", 1),
    ]
    mine = rows[0]
    assert mine["id"] == first
    assert mine["attempt_scores"] == f"#{first} 0.800, #3 0.000"
    assert mine["normalized_return"] == pytest.approx(0.4)
    assert mine["normalized_return_low"] < 0.4 < mine["normalized_return_high"]
    assert mine["one/normalized_return"] == pytest.approx(0.4)
    assert mine["one/normalized_return_low"] == pytest.approx(0.4 - sqrt(2 * 0.1**2) / 2)
    assert (mine["trust"], mine["unranked"], mine["hardware"]) == ("hidden-seed", "", "cpu-2")
    assert [(row["rank_low"], row["rank_high"]) for row in rows] == [(1, 3), (1, 2), (2, 3)]
    text = printed(rows)
    assert "1/1 ×2" in text
    assert "1–3" in text


def test_attempts_at_fewer_tasks_have_their_own_row(tmp_path: Path) -> None:
    both = ["tiny/one", "tiny/two"]
    whole = {"tasks": both, "scores": [scored("tiny/one"), scored("tiny/two")]}
    with open_board(tmp_path / "board.db", create=True) as board:
        add_attempt(board, "good", returns(0.3), **whole)
        add_attempt(board, "good", returns(0.9), tasks=both)
        rows = board_rows(board)
    assert [(row["tasks"], row["attempts"], row["unranked"]) for row in rows] == [
        ("2/2", 1, ""),
        ("1/2", 1, "tasks missing"),
    ]


def test_an_attempt_that_could_not_be_scored_removes_the_rank(tmp_path: Path) -> None:
    with open_board(tmp_path / "board.db", create=True) as board:
        add_attempt(board, "good", returns(0.8))
        add_attempt(board, "other", returns(0.5))
        failed = add_attempt(board, "good", [])
        rows = board_rows(board)
        assert {row["agent"]: row["unranked"] for row in rows} == {
            "good": "an attempt was not scored",
            "other": "",
        }
        retry(board, failed)
        assert not any(row["unranked"] for row in board_rows(board))


def scored(task: str) -> dict[str, Any]:
    row = {"task": task, "metric": "normalized_return", "value": 0.5, "low": 0.4, "high": 0.6}
    return {**row, "n": 30, "unit": "share", "direction": "higher"}


def test_an_invalidated_result_stays_without_a_rank(tmp_path: Path) -> None:
    with open_board(tmp_path / "board.db", create=True) as board:
        wrong = add_attempt(board, "good", returns(0.8))
        right = add_attempt(board, "better", returns(0.9))
        invalidate(board, wrong, "admin", "the network was shared", right)
        rows = board_rows(board)
    assert [row["agent"] for row in rows] == ["better", "good"]
    assert rows[0]["rank_low"] == 1
    assert rows[1]["unranked"] == "invalidated"
    assert rows[1]["rank_low"] is None
    assert rows[1]["invalidated_by"] == f"the network was shared; see #{right}"
    assert "invalidated" in printed(rows)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"privileged": True}, "privileged"),
        ({"tasks": ["tiny/one", "tiny/two"]}, "tasks missing"),
        ({"suite": "tiny@1+users=4"}, "other numbers of users or seeds"),
        ({"sums": {}, "overall": []}, "no score"),
    ],
)
def test_unranked_rows_give_the_reason(tmp_path: Path, other: dict[str, Any], why: str) -> None:
    with open_board(tmp_path / "board.db", create=True) as board:
        add_attempt(board, "good", returns(0.8), **other)
        (row,) = board_rows(board)
    assert (row["unranked"], row["rank_low"], row["rank_high"]) == (why, None, None)


def test_a_private_board_may_rank_replayed_runs(runs: Runs, tampered: Any, tmp_path: Path) -> None:
    board = tmp_path / "board.db"
    for agent in ("popular", "random", "oracle"):
        submit(runs(agent), board)
    tampered.edit_identity(rehash=True, agent="my-own-invention")
    assert submit(tampered.path, board).accepted
    rows = {row["agent"]: row for row in board_rows(board, rank_from="replayed")}
    assert {name for name, row in rows.items() if row["rank_low"]} == {"popular", "random"}
    assert rows["my-own-invention"]["unranked"] == "same slates as an earlier run"
    with pytest.raises(InputError, match="--rank-from"):
        board_rows(board, rank_from="reported")  # type: ignore[arg-type]
