"""Suites that exist as a document only are believed where a board was told to take them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasteshift.leaderboard.board_rows import board_rows
from tasteshift.leaderboard.submission import submit
from tasteshift.leaderboard.verification.verify import verify
from tasteshift.suites.evaluate import evaluate
from tasteshift.suites.serialization import sha256

OWN = """
name: own
tasks:
  - scenario: minor-profile
    catalog: "synthetic:60"
    slate_size: 4
    users: 2
    sessions: 2
    turns: 2
"""


@pytest.fixture
def own(tampered: Any, tmp_path: Path) -> Any:
    (tmp_path / "own.yaml").write_text(OWN)
    tampered.path = evaluate("popular", str(tmp_path / "own.yaml"), out=tmp_path / "run").out
    return tampered


def test_it_is_believed_only_where_that_is_allowed(own: Any, tmp_path: Path) -> None:
    refused = verify(own.path)
    assert refused.reason.startswith("manifest.json: unknown suite 'own")
    assert refused.reason.endswith("a board must be told to allow unregistered suites")
    believed = verify(own.path, allow_unregistered=True)
    assert believed.accepted, believed.reason
    assert not submit(own.path, tmp_path / "strict.db").accepted
    assert submit(own.path, tmp_path / "open.db", allow_unregistered=True).accepted
    assert [row["suite"] for row in board_rows(tmp_path / "open.db")] == ["own@1"]


def test_its_edits_are_seen_all_the_same(own: Any) -> None:
    own.edit_row("steps", 3, reward=0.9)
    assert "reward 0.9 recorded" in verify(own.path, allow_unregistered=True).reason


def edited(own: Any, **changes: Any) -> str:
    """Why a run is refused whose manifest describes another suite, hashes and all."""
    manifest = own.json("manifest.json")
    task = manifest["suite"]["tasks"][0]
    for name, value in changes.items():
        (task if name in task else manifest["suite"])[name] = value
    manifest["identity_hash"] = sha256(manifest["identity"])
    own.write_json("manifest.json", manifest)
    verdict = verify(own.path, allow_unregistered=True)
    assert not verdict.accepted
    assert verdict.reason.startswith("manifest.json: ")
    return verdict.reason


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"version": 2}, "suite describes 'own@2', not 'own@1'"),
        ({"catalog": "/etc"}, "is played in '/etc', which is no catalog of the registry"),
        ({"catalog": "../../data"}, "which is no catalog of the registry"),
        ({"catalog": "hidden:0"}, "which is no catalog of the registry"),
        ({"catalog": "synthetic:nine"}, "synthetic"),
        ({"users": 1}, "suite_hash is not that of"),
        ({"turns": 10**9}, ""),
        ({"references": ["nobody"]}, "nobody"),
        ({"seeds": 10**5}, "1 seeds are not those of own@1"),
        ({"tasks": []}, "has no tasks"),
        ({"tasks": "none"}, "must be a list"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_document_that_is_no_such_suite_is_refused(
    own: Any, changes: dict[str, Any], named: str
) -> None:
    assert named in edited(own, **changes)


def test_a_registered_name_means_the_registered_suite(own: Any) -> None:
    """Nobody brings an easier suite under the name of another."""
    manifest = own.json("manifest.json")
    text = json.dumps(manifest).replace('"own@1"', '"board-test@1"').replace("own", "board-test")
    manifest = json.loads(text)
    manifest["identity_hash"] = sha256(manifest["identity"])
    own.write_json("manifest.json", manifest)
    reason = verify(own.path, allow_unregistered=True).reason
    assert reason.startswith("manifest.json: suite_hash is not that of board-test@1 here")
