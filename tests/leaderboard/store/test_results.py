"""Results of accepted submissions, and their invalidation."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasteshift.errors import InputError
from tasteshift.leaderboard.store.database import Board
from tasteshift.leaderboard.store.results import (
    first_with_actions,
    invalidate,
    record_verified_run,
    results,
)
from tasteshift.leaderboard.store.schema import Result
from tasteshift.leaderboard.store.submissions import add_submission, history
from tasteshift.leaderboard.verification.verify import verify


def accepted(board: Board, key: str, suite: str = "quick@2", digest: str = "d") -> int:
    one, _ = add_submission(board, kind="run", key=key, owner="me", about={}, state="receiving")
    columns = {column.name: "" for column in Result.__table__.columns}
    columns |= {"suite": suite, "actions_digest": digest}
    with board.transaction() as session:
        session.add(Result(**columns | {"submission_id": one.id, "privileged": False}))
    return one.id


def test_a_verified_run_is_stored_unchanged(board: Board, runs: Callable[[str], Path]) -> None:
    run = verify(runs("popular")).run
    assert run is not None
    one, new = record_verified_run(
        board, key="me:1", owner="me", about={}, run=run, message="replayed"
    )
    same, again = record_verified_run(
        board, key="me:1", owner="me", about={}, run=run, message="replayed"
    )
    assert (new, again, same.id) == (True, False, one.id)
    ((_, result, invalidation),) = results(board)
    assert invalidation is None
    assert (result.suite, result.agent, result.track) == ("board-test@1", "popular", "replayed")
    assert result.manifest["identity_hash"] == result.identity_hash == run.manifest.identity_hash
    assert [(row["task"], row["metric"], row["value"]) for row in result.scores] == [
        (row.task, row.metric, row.value) for row in run.scores
    ]
    assert result.tasks == ["board-test/first", "board-test/shift"]
    assert [event.state for event in history(board, one.id)] == ["queued", "working", "accepted"]
    assert first_with_actions(board, run.actions_digest) == one.id


def test_results_come_in_order_and_by_suite(board: Board) -> None:
    first, second = accepted(board, "a", digest="x"), accepted(board, "b", "full@1", "x")
    assert [one.id for one, _, _ in results(board)] == [first, second]
    assert [one.id for one, _, _ in results(board, "full@1")] == [second]
    assert results(board, "none@1") == []
    assert first_with_actions(board, "x") == first
    with pytest.raises(LookupError):
        first_with_actions(board, "y")


def test_an_invalidation_is_stored_beside_its_result(board: Board) -> None:
    old, new = accepted(board, "a"), accepted(board, "b")
    invalidate(board, old, "admin", "first")
    invalidate(board, old, "admin", "a clock ran backwards", replaced_by=new)
    stored = results(board)
    assert [one.id for one, _, _ in stored] == [old, new]
    invalidation = stored[0][2]
    assert invalidation is not None
    assert (invalidation.reason, invalidation.replaced_by) == ("a clock ran backwards", new)
    assert stored[1][2] is None
    for id, other in ((new + 1, None), (new, new + 1), (new, new)):
        with pytest.raises(InputError):
            invalidate(board, id, "admin", "no such", other)
    assert results(board)[1][2] is None
