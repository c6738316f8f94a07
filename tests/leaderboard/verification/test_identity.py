"""Runs of another format, suite, simulator or catalog are refused by name."""

from pathlib import Path
from typing import Any

import pytest

from tasteshift.leaderboard.archive import pack
from tasteshift.leaderboard.verification.verify import verify, verify_archive
from tasteshift.suites.engine.run_directory.schema import FORMAT_VERSION


def refusal_reason(path: Path) -> str:
    verdict = verify(path)
    assert not verdict.accepted
    assert verdict.run is None
    assert "\n" not in verdict.reason
    return verdict.reason


@pytest.mark.parametrize("version", [None, 1, 3])
def test_another_run_directory_format_is_refused(
    tampered: Any, tmp_path: Path, version: int | None
) -> None:
    manifest = tampered.json("manifest.json")
    del manifest["format"]
    if version is not None:
        manifest["format"] = version
    tampered.write_json("manifest.json", manifest)
    pack(tampered.path, tmp_path / "run.tar.gz")
    reason = refusal_reason(tampered.path)
    assert verify_archive(tmp_path / "run.tar.gz").reason == reason
    assert reason == (
        "the run was written by another version of TasteShift (run directory format "
        f"{version or 1}, this version reads {FORMAT_VERSION}); run it again"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [1]}, r"seeds [1] are not [0]"),
        ({"suite_hash": "0" * 64}, "suite_hash is not that of board-test@1"),
        ({"catalogs": {"synthetic:60": "f" * 64}}, "catalog 'synthetic:60' has hash ffffffffffff"),
        ({"catalogs": {}}, "catalogs [] are not ['synthetic:60']"),
        ({"simulator_version": "0"}, "simulator_version '0' is not"),
        ({"suite": "board-test@2"}, "board-test@2"),
        ({"suite": "board-tset@1"}, "did you mean 'board-test'?"),
        ({"suite": "board-test@1+users=2"}, "suite_hash is not that of board-test@1+users=2"),
    ],
)
def test_a_foreign_identity_is_named(tampered: Any, changes: dict[str, Any], message: str) -> None:
    tampered.edit_identity(rehash=False, **changes)
    assert "identity_hash is not the hash of identity" in refusal_reason(tampered.path)
    tampered.edit_identity(rehash=True, **changes)
    assert message in refusal_reason(tampered.path)


def test_another_name_needs_another_hash(tampered: Any) -> None:
    tampered.edit_identity(rehash=False, agent="my-own-invention")
    assert "identity_hash is not the hash of identity" in refusal_reason(tampered.path)
