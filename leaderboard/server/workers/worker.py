"""Worker process: takes submissions from the queue one at a time and records their verdicts."""

from __future__ import annotations

import logging
import multiprocessing
import os
import secrets
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy.exc import DataError

from ....errors import InputError
from ...keys import attempt_key
from ...store.actions import actions_of_attempt
from ...store.database import Board, ConflictError, open_board
from ...store.files import archive_path, attempt_folder, scratch_folder
from ...store.queue import claim, conclude, leases, release, renew
from ...store.schema import Result, Submission
from ...store.seasons import season, secret
from ...store.submissions import add_event, latest_event
from .jobs import MACHINE_ERRORS, WAITING, Outcome, attempt_job, run_job
from .verifier import DIED, GIB, VerificationTimeout, Verifier, VerifierDied

IDLE_SECONDS = 0.2
LEASE_SECONDS = 15.0
PAUSE_SECONDS = 30.0
"""How long a worker pauses on a machine that cannot verify, such as one with a full disk."""

PROGRESS_SECONDS = 5.0
"""The least time between two progress events of a submission."""

log = logging.getLogger(__name__)


class Flag(Protocol):
    """An event of `threading` or of `multiprocessing`."""

    def is_set(self) -> bool:
        """Whether it was set."""


class _LeaseLost(Exception):
    """Another worker has the submission now."""


class _Stopped(Exception):
    """The worker was asked to stop."""


def work(
    location: str | Path,
    files: str | Path | None = None,
    *,
    limit_s: float,
    stop_with: Flag | None = None,
    once: bool = False,
    lease_s: float = LEASE_SECONDS,
    memory: int = 4 * GIB,
) -> None:
    """Verify submissions to the board at `location` until asked to stop.

    A worker stops at SIGTERM and SIGINT and when its parent dies (a process of `multiprocessing`
    only), and returns the current submission to the queue; after a kill, another worker takes it
    up `lease_s` seconds later.

    files      as in `open_board`
    limit_s    seconds that one verification may take; then the submission is refused
    stop_with  stop soon after this is set
    once       return as soon as the queue is empty
    memory     bytes of address space that a verification may use

    Raises InputError where the board cannot be used.
    """
    me = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
    with (
        _stopping(stop_with) as stopping,
        open_board(location, files=files) as board,
        closing(Verifier(limit_s, memory)) as verifier,
        suppress(_Stopped),
    ):

        def check_stopping(progress: str = "") -> None:
            if stopping():
                raise _Stopped

        _remove_leftovers(board)
        while True:
            check_stopping()
            verifier.start(check_stopping)
            one = claim(board, me, now=time.time(), ttl=lease_s)
            if one is not None:
                lease = _HeldLease(board, one.id, me, lease_s, stopping)
                if _process(lease, one, verifier, limit_s):
                    continue
            if once:
                return
            end = time.monotonic() + (IDLE_SECONDS if one is None else PAUSE_SECONDS)
            while time.monotonic() < end:
                check_stopping()
                time.sleep(IDLE_SECONDS)


@dataclass
class _HeldLease:
    """A lease on a submission, renewed while a verification runs.

    renewed, reported  when that last happened, on the monotonic clock
    """

    board: Board
    id: int
    worker: str
    lease_s: float
    stopping: Callable[[], bool]

    def __post_init__(self) -> None:
        self.renewed = self.reported = time.monotonic()
        self.seq = latest_event(self.board, self.id).seq
        self.progress = ""

    def heartbeat(self, progress: str) -> None:
        """Renew the lease in time and record progress; raises _LeaseLost or _Stopped."""
        now = time.monotonic()
        if self.stopping():
            raise _Stopped
        if now - self.renewed > self.lease_s / 3:
            if not renew(self.board, self.id, self.worker, now=time.time(), ttl=self.lease_s):
                raise _LeaseLost
            self.renewed = now
        if progress != self.progress and now - self.reported > PROGRESS_SECONDS:
            try:
                self.seq = add_event(self.board, self.id, "working", progress, after=self.seq).seq
            except ConflictError:
                raise _LeaseLost from None
            self.progress, self.reported = progress, now


def _process(lease: _HeldLease, one: Submission, verifier: Verifier, limit_s: float) -> bool:
    """Verify a claimed submission and record the verdict, unless the lease is lost.

    False where the machine cannot verify it now: then the submission is back in the queue.
    """
    scratch = scratch_folder(lease.board, one.id)
    shutil.rmtree(scratch, ignore_errors=True)
    folder = scratch / secrets.token_hex(8)  # its own, as another worker may still write there
    try:
        folder.parent.mkdir(exist_ok=True)
        outcome = _verdict(lease, one, verifier, limit_s, folder)
        if outcome.state == WAITING:
            return _return_to_queue(lease, outcome.message)
        if one.kind == "attempt" and outcome.columns is not None:
            _replace(folder, attempt_folder(lease.board, one.id))
        if _conclude(lease, outcome):
            shutil.rmtree(scratch, ignore_errors=True)
    except _LeaseLost:
        log.warning("submission %s is with another worker now", one.id)
    except _Stopped:
        release(lease.board, one.id, lease.worker)
    except OSError as error:
        if error.errno not in MACHINE_ERRORS:
            raise
        return _return_to_queue(lease, str(error))
    return True


def _return_to_queue(lease: _HeldLease, why: str) -> bool:
    """Let a submission wait for a machine that can verify it; always False."""
    log.error("submission %s waits: %s", lease.id, why)
    shutil.rmtree(scratch_folder(lease.board, lease.id), ignore_errors=True)
    release(lease.board, lease.id, lease.worker)
    return False


def _verdict(
    lease: _HeldLease, one: Submission, verifier: Verifier, limit_s: float, folder: Path
) -> Outcome:
    try:
        job = _job(lease.board, one, folder)
        for _ in range(2):
            try:
                return verifier.verify(job, lease.heartbeat)
            except VerifierDied:
                log.warning("verification of submission %s died", one.id)
                shutil.rmtree(folder, ignore_errors=True)
        return Outcome("refused", DIED, None)
    except VerificationTimeout:
        return Outcome("refused", f"verification took longer than {limit_s:g} s", None)
    except InputError as error:
        return Outcome("refused", str(error), None)


def _job(board: Board, one: Submission, folder: Path) -> dict[str, Any]:
    if one.kind != "attempt":
        archive = archive_path(board, one.about["sha256"])
        if not archive.is_file():
            raise InputError("the board has lost the archive; tell its administrators")
        return run_job(one.id, archive, folder)
    played = season(board, one.about["season"])
    if played is None:
        raise InputError(f"there is no season {one.about['season']!r} any more")
    key = attempt_key(secret(board, played.name), one.key)
    given = actions_of_attempt(board, one.id)
    return attempt_job(one.id, played.suite, key, one.key, one.about, given, folder)


def _conclude(lease: _HeldLease, outcome: Outcome) -> bool:
    result = Result(**outcome.columns) if outcome.columns else None
    mine = (lease.board, lease.id, lease.worker)
    try:
        return conclude(*mine, outcome.state, outcome.message, result)
    except (DataError, UnicodeEncodeError):
        what = "a name in the manifest has characters that the board cannot keep"
        return conclude(*mine, "refused", what, None)


def _remove_leftovers(board: Board) -> None:
    """Remove what killed workers left of submissions that have a verdict."""
    # Listed before the queue is read: a folder made in between belongs to a queued submission.
    found = list(scratch_folder(board, 0).parent.iterdir())
    busy = {str(lease.submission_id) for lease in leases(board)}
    for left in found:
        if left.name not in busy:
            shutil.rmtree(left, ignore_errors=True)


def _replace(new: Path, old: Path) -> None:
    """Move a folder, replacing one that an interrupted move may have left."""
    shutil.rmtree(old, ignore_errors=True)
    new.replace(old)


@contextmanager
def _stopping(flag: Flag | None) -> Iterator[Callable[[], bool]]:
    """A function that says whether a signal, the flag or the parent's death asks to stop."""
    asked, before = threading.Event(), {}
    if threading.current_thread() is threading.main_thread():
        for one in (signal.SIGTERM, signal.SIGINT):
            before[one] = signal.signal(one, lambda number, frame: asked.set())
    parent = multiprocessing.parent_process()

    def stopping() -> bool:
        orphan = parent is not None and not parent.is_alive()
        return asked.is_set() or orphan or (flag is not None and flag.is_set())

    try:
        yield stopping
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
