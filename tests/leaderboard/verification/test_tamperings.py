"""The tamperings that verification must detect, on runs with and without a language model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasteshift.leaderboard.archive import pack
from tasteshift.leaderboard.board_rows import board_rows
from tasteshift.leaderboard.submission import submit
from tasteshift.leaderboard.verification.verify import verify, verify_archive

NAMES = (
    *("an edited reward", "a swapped item", "a dropped episode", "a duplicated episode"),
    *("another seed", "a changed suite hash", "another catalog", "edited scores"),
    *("rounds that contradict the acceptance", "a copy under another name", "a truncated file"),
)


def test_the_list_of_tamperings_is_complete(tamperings: dict[str, Any]) -> None:
    assert tuple(tamperings) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_tampering_is_detected(
    tampered: Any, tamperings: dict[str, Any], name: str, tmp_path: Path
) -> None:
    tamperings[name].edit(tampered)
    pack(tampered.path, tmp_path / "edited.tar.gz")
    from_folder, from_archive = verify(tampered.path), verify_archive(tmp_path / "edited.tar.gz")
    assert from_folder.accepted == from_archive.accepted == (not tamperings[name].message)
    if not from_folder.accepted:
        assert from_folder.reason == from_archive.reason
        assert tamperings[name].message in from_folder.reason


@pytest.mark.parametrize("name", NAMES)
def test_tampering_is_detected_in_a_language_model_run(
    text_run: Callable[..., Path], tampered: Any, tamperings: dict[str, Any], name: str
) -> None:
    tampered.path = text_run()
    tamperings[name].edit(tampered)
    verdict = verify(tampered.path)
    assert verdict.accepted == (not tamperings[name].message)
    assert verdict.accepted or tamperings[name].message in verdict.reason


def test_a_copied_run_is_linked_to_the_original(
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


@pytest.mark.parametrize("digests", ["unchanged", "recomputed"])
def test_edited_rounds_contradict_the_scores(
    text_run: Callable[..., Path], tampered: Any, digests: str
) -> None:
    """Rounds and digests agree with each other, but not with the scores."""
    tampered.path = text_run()
    rows = tampered.table("generations")
    for row in rows:
        if row["round"] == 0:
            row |= {"max_depth": 2, "drafted_depth": 2, "drafted_nodes": 2, "verified_nodes": 3}
    tampered.write_table("generations", rows)
    if digests == "unchanged":
        assert "the digest in episodes.jsonl is not" in verify(tampered.path).reason
        return
    tampered.remake_digests()
    reason = verify(tampered.path).reason
    assert reason.startswith("scores.json: board-test/first acceptance_rate: value 0.25 recorded")


def test_an_edited_acceptance_rate_contradicts_the_rounds(
    text_run: Callable[..., Path], tampered: Any
) -> None:
    """The scores were edited, but not the rounds."""
    tampered.path = text_run()
    scores = tampered.json("scores.json")
    for row in scores:
        if row["metric"] == "acceptance_rate":
            row["value"] = 0.75
    tampered.write_json("scores.json", scores)
    tampered.remake_digests()
    reason = verify(tampered.path).reason
    assert reason.startswith("scores.json: board-test/first acceptance_rate: value 0.75 recorded")


def test_consistently_edited_rounds_and_scores_are_accepted_as_reported(
    text_run: Callable[..., Path], tampered: Any
) -> None:
    """An edit that is consistent in all files is accepted, with trust level "reported"."""
    tampered.path = text_run()
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
        if row["metric"] in ("acceptance_rate_drafted", "draft_acceptance_rate"):
            row["value"] = 2 / 5
    tampered.write_json("scores.json", json.loads(json.dumps(scores)))
    verdict = verify(tampered.path)
    assert verdict.accepted, verdict.reason
    assert verdict.run is not None
    assert verdict.run.trust["acceptance_rate"] == "reported"
    assert verdict.run.trust["normalized_return"] == "replayed"
