"""Where a board keeps files. No name that somebody sent is ever part of a path."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import InputError
from .database import Board

SHA256 = r"[0-9a-f]{64}"
NAME = r"[a-z0-9][a-z0-9-]{0,63}"


def archive_path(board: Board, sha256: str) -> Path:
    """Where the archive with this hash belongs; the folder above it exists."""
    if not re.fullmatch(SHA256, sha256):
        raise InputError(f"{sha256[:80]!r} is no SHA-256; send 64 hexadecimal digits")
    return _below(board, "archives", sha256[:2], f"{sha256}.tar.gz")


def upload_path(board: Board, id: int) -> Path:
    """Where the bytes of submission `id` gather until all are there; the folder above exists."""
    return _below(board, "uploads", f"{int(id)}.part")


def attempt_folder(board: Board, id: int) -> Path:
    """Where the run directory of attempt `id` belongs; the folder above it exists."""
    return _below(board, "attempts", str(int(id)))


def scratch_folder(board: Board, id: int) -> Path:
    """Below which submission `id` is unpacked to be verified; the folder above it exists."""
    return _below(board, "scratch", str(int(id)))


def secret_path(board: Board, season: str) -> Path:
    """Where the secret of a season is, in a folder that is for this user only."""
    file = _below(board, "secrets", f"{checked_name(season)}.key")
    file.parent.chmod(0o700)
    return file


def checked_name(name: str) -> str:
    """A name of a season or of a token; raises InputError for anything else."""
    if not re.fullmatch(NAME, name):
        raise InputError(
            f"name {name[:80]!r} cannot be used; use up to 64 of a-z, 0-9 and -, first no -"
        )
    return name


def _below(board: Board, *parts: str) -> Path:
    path = board.files.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
