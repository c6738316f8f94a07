"""From a run directory to a row of the board: verify, then store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..suites.evaluate import Watcher
from .store import board_file, open_board
from .verification.verdict import Verdict, verify


@dataclass(frozen=True)
class Receipt:
    """What became of a submission.

    id            its number on the board; None where it was refused
    new           False where the very same run was on the board already
    same_actions  number of the earliest other submission whose agent showed the same slates
    """

    verdict: Verdict
    id: int | None = None
    new: bool = False
    same_actions: int | None = None

    @property
    def accepted(self) -> bool:
        """Whether the run is on the board now."""
        return self.verdict.accepted

    def line(self) -> str:
        """The outcome for people."""
        if self.verdict.run is None:
            return self.verdict.line()
        identity = self.verdict.run.manifest.identity
        name = " ".join(part for part in (identity.agent, identity.decoder) if part)
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
            "accepted": verdict.accepted,
            "reason": verdict.reason,
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


def submit(run_dir: str | Path, board: str | Path, *, watch: Watcher | None = None) -> Receipt:
    """Replay the run in `run_dir` and, if it is what it claims to be, put it on `board`.

    board  a database file, which is made where there is none
    watch  as in `evaluate`: called with the number of lives that will be replayed

    A refused run leaves the board untouched. Raises InputError where there is no finished run,
    or where `board` cannot be used.
    """
    if board_file(board).exists():
        with open_board(board):
            pass
    verdict = verify(run_dir, watch=watch)
    if verdict.run is None:
        return Receipt(verdict)
    with open_board(board, create=True) as opened:
        row, new = opened.add(verdict.run)
        first = opened.first_with(row.actions_digest)
    return Receipt(verdict, row.id, new, first.id if first.id < row.id else None)
