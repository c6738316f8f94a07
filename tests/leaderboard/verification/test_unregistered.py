"""Suites described only by a run's manifest are accepted where a board allows them."""

import json
import shutil
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


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.yaml").write_text(OWN)
    return evaluate("popular", str(folder / "own.yaml"), out=folder / "run").out


@pytest.fixture
def own(own_run: Path, tampered: Any, tmp_path: Path) -> Any:
    """A copy of a run of a suite that is not registered."""
    tampered.path = Path(shutil.copytree(own_run, tmp_path / "own"))
    return tampered


def test_an_unregistered_suite_is_accepted_only_where_allowed(own: Any, tmp_path: Path) -> None:
    refused = verify(own.path)
    assert refused.reason.startswith("manifest.json: unknown suite 'own")
    assert refused.reason.endswith("a board may allow unregistered suites")
    allowed = verify(own.path, allow_unregistered=True)
    assert allowed.accepted, allowed.reason
    assert not submit(own.path, tmp_path / "strict.db").accepted
    assert submit(own.path, tmp_path / "open.db", allow_unregistered=True).accepted
    assert [row["suite"] for row in board_rows(tmp_path / "open.db")] == ["own@1"]


def test_an_edited_run_of_an_unregistered_suite_is_refused(own: Any) -> None:
    own.edit_row("steps", 3, reward=0.9)
    assert "reward 0.9 recorded" in verify(own.path, allow_unregistered=True).reason


def edited(own: Any, **changes: Any) -> str:
    """Edit the suite in the manifest and its hash; returns the reason for refusal."""
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
    ("changes", "message"),
    [
        ({"version": 2}, "suite describes 'own@2', not 'own@1'"),
        ({"catalog": "/etc"}, "uses catalog '/etc', which is not registered here"),
        ({"catalog": "../../data"}, "which is not registered here"),
        ({"catalog": "hidden:0"}, "which is not registered here"),
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
def test_an_invalid_or_different_suite_document_is_refused(
    own: Any, changes: dict[str, Any], message: str
) -> None:
    assert message in edited(own, **changes)


def test_a_registered_name_must_be_the_registered_suite(own: Any) -> None:
    """An easier suite cannot be submitted under the name of a registered one."""
    manifest = own.json("manifest.json")
    text = json.dumps(manifest).replace('"own@1"', '"board-test@1"').replace("own", "board-test")
    manifest = json.loads(text)
    manifest["identity_hash"] = sha256(manifest["identity"])
    own.write_json("manifest.json", manifest)
    reason = verify(own.path, allow_unregistered=True).reason
    assert reason.startswith("manifest.json: suite_hash is not that of board-test@1 here")
