"""From a run directory to a board that lies at hand: pack, verify, keep."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..suites.engine.progress import ProgressFactory
from .archive import pack
from .store.database import Board, board_exists, open_board
from .store.files import archive_path
from .store.results import first_with_actions, record_verified_run
from .verification.verify import Verdict, verify_archive

ARCHIVE = "run.tar.gz"


@dataclass(frozen=True)
class Receipt:
    """What became of a submission.

    verdict       of the check that was made here
    id            its number on the board; None where it never came there
    new           False where the very same archive had been submitted before
    same_actions  number of the earliest other submission whose agent showed the same slates
    refusal       why the board refused what was accepted here, or ""
    """

    verdict: Verdict
    id: int | None = None
    new: bool = False
    same_actions: int | None = None
    refusal: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the run is on the board now."""
        return self.verdict.accepted and not self.refusal

    def line(self) -> str:
        """The outcome for people."""
        if self.verdict.run is None:
            return self.verdict.line()
        identity = self.verdict.run.manifest.identity
        name = " ".join(part for part in (identity.agent, identity.decoder) if part)
        if self.refusal:
            return f"#{self.id} {name} on {identity.suite} is refused by the board: {self.refusal}"
        if not self.new:
            return f"{name} on {identity.suite}: already on the board as #{self.id}"
        notes = "; privileged, so never ranked" if self.verdict.run.privileged else ""
        if self.same_actions is not None:
            notes += f"; shows the same slates as #{self.same_actions}"
        return f"#{self.id} {name} on {identity.suite}: {self.verdict.reason}{notes}"

    def row(self) -> dict[str, Any]:
        """The outcome for machines."""
        verdict = self.verdict
        identity = verdict.run.manifest.identity if verdict.run else None
        return {
            "run": str(verdict.path),
            "accepted": self.accepted,
            "reason": self.refusal or verdict.reason,
            "id": self.id,
            "new": self.new,
            "same_actions": self.same_actions,
            "agent": identity.agent if identity else None,
            "decoder": identity.decoder if identity else None,
            "suite": identity.suite if identity else None,
            "episodes": verdict.episodes,
            "steps": verdict.steps,
            "seconds": verdict.seconds,
        }


def submit(
    run_dir: str | Path,
    board: str | Path,
    *,
    files: str | Path | None = None,
    progress: ProgressFactory | None = None,
    allow_unregistered: bool = False,
) -> Receipt:
    """Replay the run in `run_dir` and, if it is what it claims to be, put it on `board`.

    board, files        see `open_board`; a database file is made where there is none
    watch               as in `evaluate`: called with the number of lives that will be replayed
    allow_unregistered  see `verify`

    What is verified is the archive that the board keeps, as with any service. A refused run
    leaves the board untouched. Raises InputError where there is no finished run, or where `board`
    cannot be used.
    """
    if board_exists(board):
        with open_board(board, files=files):
            pass
    with tempfile.TemporaryDirectory(prefix="tasteshift-") as folder:
        archive, sha256, verdict = checked(run_dir, folder, progress, allow_unregistered)
        if verdict.run is None:
            return Receipt(verdict)
        with open_board(board, create=True, files=files) as opened:
            _keep(opened, archive, sha256)
            row, new = record_verified_run(
                opened,
                key=f"local:{sha256}",
                owner="local",
                about={"sha256": sha256, "size": archive.stat().st_size},
                run=verdict.run,
                message=verdict.reason,
            )
            first = first_with_actions(opened, verdict.run.actions_digest)
    return Receipt(verdict, row.id, new, first if first < row.id else None)


def checked(
    run_dir: str | Path, folder: str, progress: ProgressFactory | None, allow_unregistered: bool
) -> tuple[Path, str, Verdict]:
    """The archive of a run in `folder`, its SHA-256, and the verdict on that very archive."""
    archive = Path(folder) / ARCHIVE
    sha256 = pack(run_dir, archive)
    found = verify_archive(
        archive, progress=progress, allow_unregistered=allow_unregistered, scratch=folder
    )
    return archive, sha256, replace(found, path=Path(run_dir))


def _keep(board: Board, archive: Path, sha256: str) -> None:
    """Copy the archive to where the board's archives lie, whole or not at all."""
    kept = archive_path(board, sha256)
    if kept.exists():
        return
    unfinished = kept.with_name(f".{kept.name}.{secrets.token_hex(8)}")
    try:
        shutil.copyfile(archive, unfinished)
        os.replace(unfinished, kept)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
