"""Submit a run directory to a board in a local database: pack, verify, store."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..storage import atomic_path
from ..suites.engine.progress import ProgressFactory
from .archive import pack
from .store.database import Board, board_exists, open_board
from .store.files import archive_path
from .store.results import first_with_actions, record_verified_run
from .verification.verify import Verdict, verify_archive

ARCHIVE_NAME = "run.tar.gz"


@dataclass(frozen=True)
class Receipt:
    """The outcome of a submission.

    verdict       result of the local verification
    id            number on the board; None where the run was not sent there
    new           False where the same archive had been submitted before
    same_actions  number of the earliest other submission with the same slates
    refusal       why the board refused a run that was accepted locally, or ""
    """

    verdict: Verdict
    id: int | None = None
    new: bool = False
    same_actions: int | None = None
    refusal: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the run is on the board."""
        return self.verdict.accepted and not self.refusal

    def line(self) -> str:
        """One line of text."""
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
            notes += f"; has the same slates as #{self.same_actions}"
        return f"#{self.id} {name} on {identity.suite}: {self.verdict.reason}{notes}"

    def row(self) -> dict[str, Any]:
        """A flat object of JSON values."""
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
    """Verify the run in `run_dir` and, if it is accepted, add it to `board`.

    board, files        see `open_board`; a database file is created if there is none
    progress            as in `evaluate`: called with the number of episodes to replay
    allow_unregistered  see `verify`

    The archive that the board stores is what is verified, as on a server. A refused run leaves
    the board unchanged. Raises InputError where there is no finished run, or where `board`
    cannot be used.
    """
    if board_exists(board):
        with open_board(board, files=files):
            pass
    with tempfile.TemporaryDirectory(prefix="tasteshift-") as folder:
        archive, sha256, verdict = pack_and_verify(run_dir, folder, progress, allow_unregistered)
        if verdict.run is None:
            return Receipt(verdict)
        with open_board(board, create=True, files=files) as opened:
            _store_archive(opened, archive, sha256)
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


def pack_and_verify(
    run_dir: str | Path, folder: str, progress: ProgressFactory | None, allow_unregistered: bool
) -> tuple[Path, str, Verdict]:
    """Pack a run into `folder`; returns the archive, its SHA-256 and the verdict on it."""
    archive = Path(folder) / ARCHIVE_NAME
    sha256 = pack(run_dir, archive)
    found = verify_archive(
        archive, progress=progress, allow_unregistered=allow_unregistered, scratch=folder
    )
    return archive, sha256, replace(found, path=Path(run_dir))


def _store_archive(board: Board, archive: Path, sha256: str) -> None:
    """Copy the archive into the board's folder, completely or not at all."""
    target = archive_path(board, sha256)
    if target.exists():
        return
    with atomic_path(target) as temporary:
        shutil.copyfile(archive, temporary)
