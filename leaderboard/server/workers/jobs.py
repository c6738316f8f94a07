"""What is asked of the process that verifies, and what it answers, as JSON values."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""Errors of the machine that no submission is to be blamed for."""

WAITING = "waiting"


@dataclass(frozen=True)
class Outcome:
    """What became of a verification.

    state    accepted, refused, or waiting: the machine cannot verify it now, and is to blame
    message  one line
    columns  those of the `Result`; None where it is refused
    """

    state: str
    message: str
    columns: dict[str, Any] | None


def run_job(id: int, archive: Path, folder: Path) -> dict[str, Any]:
    """A run to verify; `folder` is for what is unpacked, and must not exist."""
    return {"kind": "run", "id": id, "archive": str(archive), "folder": str(folder)}


def attempt_job(
    id: int,
    suite: str,
    key: bytes,
    name: str,
    about: dict[str, Any],
    turns: dict[int, list[dict[str, Any]]],
    folder: Path,
) -> dict[str, Any]:
    """An attempt to conclude from its answers (see `Attempt`); its run is written to `folder`."""
    answers = list(turns.items())
    attempt = {"suite": suite, "key": key.hex(), "name": name, "about": about, "turns": answers}
    return {"kind": "attempt", "id": id, "folder": str(folder), **attempt}
