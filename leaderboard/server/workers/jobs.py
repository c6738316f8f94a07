"""Verification jobs and their outcomes, as JSON values between worker and verifier."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MACHINE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""Full or broken disks: errors of the machine, not of a submission."""

WAITING = "waiting"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a verification.

    state    accepted, refused, or waiting: the machine cannot verify it now
    message  one line
    columns  of the `Result`; None unless accepted
    """

    state: str
    message: str
    columns: dict[str, Any] | None


def run_job(id: int, archive: Path, folder: Path) -> dict[str, Any]:
    """A run to verify; `folder` is where it is unpacked, and must not exist."""
    return {"kind": "run", "id": id, "archive": str(archive), "folder": str(folder)}


def attempt_job(
    id: int,
    suite: str,
    key: bytes,
    name: str,
    about: dict[str, Any],
    answers: dict[int, list[dict[str, Any]]],
    folder: Path,
) -> dict[str, Any]:
    """An attempt to score from its answers (see `Attempt`); its run is written to `folder`."""
    job = {"kind": "attempt", "id": id, "folder": str(folder), "suite": suite, "key": key.hex()}
    return {**job, "name": name, "about": about, "answers": list(answers.items())}
