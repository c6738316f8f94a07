"""Paths consist of numbers, hashes and checked names only."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from tasteshift.errors import InputError
from tasteshift.leaderboard.store.database import Board
from tasteshift.leaderboard.store.files import (
    archive_path,
    attempt_folder,
    checked_name,
    scratch_folder,
    secret_path,
    upload_path,
)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(create_engine("sqlite://"), tmp_path / "files")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | st.from_regex(r"\A[0-9a-fA-F./\n]{60,66}\Z"))
def test_only_a_hash_is_accepted_for_an_archive(board: Board, name: str) -> None:
    if len(name) == 64 and set(name) <= set("0123456789abcdef"):
        path = archive_path(board, name)
        assert path.resolve().is_relative_to(board.files.resolve())
    else:
        with pytest.raises(InputError, match="not a SHA-256"):
            archive_path(board, name)


def test_different_files_have_different_paths(board: Board) -> None:
    paths = [
        *(archive_path(board, digit * 64) for digit in "0f"),
        *(
            make(board, id)
            for make in (upload_path, attempt_folder, scratch_folder)
            for id in (1, 2)
        ),
        *(secret_path(board, name) for name in ("a", "b")),
    ]
    assert len(set(paths)) == len(paths)
    for path in paths:
        assert path.parent.is_dir()
        assert not path.exists()
        assert path.is_relative_to(board.files)


@given(st.text(max_size=80))
def test_only_safe_names_are_accepted(name: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    if 1 <= len(name) <= 64 and set(name) <= allowed and name[0] != "-":
        assert checked_name(name) == name
    else:
        with pytest.raises(InputError, match="is invalid"):
            checked_name(name)
