"""The cheats that a board must see through, on runs with and without a language model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasteshift.leaderboard.archive import pack
from tasteshift.leaderboard.board_rows import board_rows
from tasteshift.leaderboard.submission import submit
from tasteshift.leaderboard.verification.verify import verify, verify_archive

CHEATS = (
    *("an edited reward", "a swapped item", "a dropped episode", "a duplicated episode"),
    *("another seed", "a changed suite hash", "another catalog", "edited scores"),
    *("rounds that contradict the acceptance", "a copy under another name", "a truncated file"),
)


def test_all_of_them_are_here(tamperings: dict[str, Any]) -> None:
    assert tuple(tamperings) == CHEATS


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_seen_through(
    tampered: Any, tamperings: dict[str, Any], name: str, tmp_path: Path
) -> None:
    tamperings[name].edit(tampered)
    pack(tampered.path, tmp_path / "cheat.tar.gz")
    here, there = verify(tampered.path), verify_archive(tmp_path / "cheat.tar.gz")
    assert here.accepted == there.accepted == (not tamperings[name].words)
    if not here.accepted:
        assert here.reason == there.reason
        assert tamperings[name].words in here.reason


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_seen_through_where_a_model_decoded(
    scribe_run: Callable[..., Path], tampered: Any, tamperings: dict[str, Any], name: str
) -> None:
    tampered.path = scribe_run()
    tamperings[name].edit(tampered)
    verdict = verify(tampered.path)
    assert verdict.accepted == (not tamperings[name].words)
    assert verdict.accepted or tamperings[name].words in verdict.reason


def test_a_copy_is_linked_to_the_run_that_it_copies(
    runs: Callable[[str], Path], tampered: Any, tamperings: dict[str, Any], tmp_path: Path
) -> None:
    board = tmp_path / "board.db"
    first = submit(runs("popular"), board)
    tamperings["a copy under another name"].edit(tampered)
    copy = submit(tampered.path, board)
    assert copy.accepted
    assert copy.same_actions == first.id
    rows = {row["id"]: row for row in board_rows(board)}
    assert rows[copy.id]["same_actions"] == first.id
    assert rows[first.id]["same_actions"] is None


@pytest.mark.parametrize("digests", ["kept", "made anew"])
def test_fewer_accepted_tokens_need_other_scores(
    scribe_run: Callable[..., Path], tampered: Any, digests: str
) -> None:
    """Half the truth: rounds and digests agree with each other, and the scores do not."""
    tampered.path = scribe_run()
    rows = tampered.table("generations")
    for row in rows:
        if row["round"] == 0:
            row |= {"max_depth": 2, "drafted_depth": 2, "drafted_nodes": 2, "verified_nodes": 3}
    tampered.write_table("generations", rows)
    if digests == "kept":
        assert "the digest in episodes.jsonl is not" in verify(tampered.path).reason
        return
    tampered.remake_digests()
    reason = verify(tampered.path).reason
    assert reason.startswith("scores.json: board-test/first acceptance_rate: value 0.25 recorded")


def test_a_better_acceptance_needs_other_rounds(
    scribe_run: Callable[..., Path], tampered: Any
) -> None:
    """The other half: the scores were edited and the rounds tell the old ones."""
    tampered.path = scribe_run()
    scores = tampered.json("scores.json")
    for row in scores:
        if row["metric"] == "acceptance_rate":
            row["value"] = 0.75
    tampered.write_json("scores.json", scores)
    tampered.remake_digests()
    reason = verify(tampered.path).reason
    assert reason.startswith("scores.json: board-test/first acceptance_rate: value 0.75 recorded")


def test_rounds_and_scores_that_agree_are_believed_as_reported_only(
    scribe_run: Callable[..., Path], tampered: Any
) -> None:
    """A cheat who edits everything alike is believed, and the column says how far."""
    tampered.path = scribe_run()
    rows = tampered.table("generations")
    for row in rows:
        if row["round"] == 0:
            row |= {"max_depth": 2, "drafted_depth": 2, "drafted_nodes": 2, "verified_nodes": 3}
    tampered.write_table("generations", rows)
    tampered.remake_digests()
    scores = tampered.json("scores.json")
    for row in scores:
        if row["metric"] == "acceptance_rate":
            row["value"] = 2 / 6
        if row["metric"] == "acceptance_rate_drafted":
            row["value"] = 2 / 5
    tampered.write_json("scores.json", json.loads(json.dumps(scores)))
    verdict = verify(tampered.path)
    assert verdict.accepted, verdict.reason
    assert verdict.run is not None
    assert verdict.run.trust["acceptance_rate"] == "reported"
    assert verdict.run.trust["normalized_return"] == "replayed"
