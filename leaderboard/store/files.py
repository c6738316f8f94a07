"""Paths of a board's files. No path contains a name that was sent by a client."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import InputError
from .database import Board

SHA256 = r"[0-9a-f]{64}"
NAME = r"[a-z0-9][a-z0-9-]{0,63}"


def archive_path(board: Board, sha256: str) -> Path:
    """Return the path of the archive with this hash; its folder exists."""
    if not re.fullmatch(SHA256, sha256):
        raise InputError(f"{sha256[:80]!r} is not a SHA-256; send 64 hexadecimal digits")
    return _below(board, "archives", sha256[:2], f"{sha256}.tar.gz")


def upload_path(board: Board, id: int) -> Path:
    """Return the path of the unfinished upload of submission `id`; its folder exists."""
    return _below(board, "uploads", f"{int(id)}.part")


def attempt_folder(board: Board, id: int) -> Path:
    """Return the path of the run directory of attempt `id`; its parent exists."""
    return _below(board, "attempts", str(int(id)))


def scratch_folder(board: Board, id: int) -> Path:
    """Return the folder in which submission `id` is unpacked; its parent exists."""
    return _below(board, "scratch", str(int(id)))


def secret_path(board: Board, season: str) -> Path:
    """Return the path of a season's secret, in a folder that only this user can read."""
    file = _below(board, "secrets", f"{checked_name(season)}.key")
    file.parent.chmod(0o700)
    return file


def checked_name(name: str) -> str:
    """Return a valid name of a season or token; raises InputError for others."""
    if not re.fullmatch(NAME, name):
        raise InputError(
            f"name {name[:80]!r} is invalid; use up to 64 of a-z, 0-9 and -, not starting with -"
        )
    return name


def _below(board: Board, *parts: str) -> Path:
    path = board.files.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
