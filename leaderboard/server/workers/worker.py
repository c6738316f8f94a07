"""A process that takes submissions from the queue, one at a time, and sees to their verdict."""

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
from ...hidden.keys import world_key
from ...store.actions import actions_of_attempt
from ...store.database import Board, ConflictError, open_board
from ...store.files import archive_path, attempt_folder, scratch_folder
from ...store.queue import claim, conclude, leases, release, renew
from ...store.schema import Result, Submission
from ...store.seasons import season, secret
from ...store.submissions import add_event, latest_event
from .jobs import FAULTS, WAITING, Outcome, attempt_job, run_job
from .verifier import DIED, GIB, Died, Overtime, Verifier

IDLE_S = 0.2
LEASE_S = 15.0
PAUSE_S = 30.0
"""How long a worker waits for a machine that has no room."""

NEWS_S = 5.0
"""The least time between two events that tell how far a verification is."""

log = logging.getLogger(__name__)


class Flag(Protocol):
    """An event of `threading` or of `multiprocessing`."""

    def is_set(self) -> bool:
        """Whether it was set."""


class _Lost(Exception):
    """Somebody else has the submission now."""


class _Stopped(Exception):
    """The worker was asked to end."""


def work(
    place: str | Path,
    files: str | Path | None = None,
    *,
    limit_s: float,
    stop_with: Flag | None = None,
    once: bool = False,
    lease_s: float = LEASE_S,
    memory: int = 4 * GIB,
) -> None:
    """Give submissions to the board at `place` their verdicts, until asked to stop.

    It stops at SIGTERM and SIGINT, when its parent dies (a process of `multiprocessing` only), and
    gives back what it is at; after a kill, that is taken up by another one `lease_s` seconds later.

    files      as in `open_board`
    limit_s    seconds that one verification may take; then the submission is refused
    stop_with  stop soon after this is set
    once       return as soon as nothing is to be had
    memory     bytes of address space that a verification may use

    Raises InputError where the board cannot be used.
    """
    me = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
    with (
        _stopping(stop_with) as stopping,
        open_board(place, files=files) as board,
        closing(Verifier(limit_s, memory)) as verifier,
        suppress(_Stopped),
    ):

        def go_on(news: str = "") -> None:
            if stopping():
                raise _Stopped

        _sweep(board)
        while True:
            go_on()
            verifier.warm(go_on)
            one = claim(board, me, now=time.time(), ttl=lease_s)
            if one is not None:
                hold = _Hold(board, one.id, me, lease_s, stopping)
                if _attend(hold, one, verifier, limit_s):
                    continue
            if once:
                return
            end = time.monotonic() + (IDLE_S if one is None else PAUSE_S)
            while time.monotonic() < end:
                go_on()
                time.sleep(IDLE_S)


@dataclass
class _Hold:
    """A lease, kept while a verification goes on.

    renewed, told  when that last happened, on the monotonic clock
    """

    board: Board
    id: int
    worker: str
    lease_s: float
    stopping: Callable[[], bool]

    def __post_init__(self) -> None:
        self.renewed = self.told = time.monotonic()
        self.seq = latest_event(self.board, self.id).seq
        self.news = ""

    def pulse(self, news: str) -> None:
        """Renew the lease in time and pass on what is new; raises _Lost or _Stopped."""
        now = time.monotonic()
        if self.stopping():
            raise _Stopped
        if now - self.renewed > self.lease_s / 3:
            if not renew(self.board, self.id, self.worker, now=time.time(), ttl=self.lease_s):
                raise _Lost
            self.renewed = now
        if news != self.news and now - self.told > NEWS_S:
            try:
                self.seq = add_event(self.board, self.id, "working", news, after=self.seq).seq
            except ConflictError:
                raise _Lost from None
            self.news, self.told = news, now


def _attend(hold: _Hold, one: Submission, verifier: Verifier, limit_s: float) -> bool:
    """From a claimed submission to its verdict; nothing is written if the lease gets lost.

    False where the machine cannot give one now: then the submission is given back untried.
    """
    scratch = scratch_folder(hold.board, one.id)
    shutil.rmtree(scratch, ignore_errors=True)
    folder = scratch / secrets.token_hex(8)  # its own, should another worker still be at it
    try:
        folder.parent.mkdir(exist_ok=True)
        outcome = _verdict(hold, one, verifier, limit_s, folder)
        if outcome.state == WAITING:
            return _give_back(hold, outcome.message)
        if one.kind == "attempt" and outcome.columns is not None:
            _replace(folder, attempt_folder(hold.board, one.id))
        if _conclude(hold, outcome):
            shutil.rmtree(scratch, ignore_errors=True)
    except _Lost:
        log.warning("submission %s is with another worker now", one.id)
    except _Stopped:
        release(hold.board, one.id, hold.worker)
    except OSError as error:
        if error.errno not in FAULTS:
            raise
        return _give_back(hold, str(error))
    return True


def _give_back(hold: _Hold, why: str) -> bool:
    """Let a submission wait for a machine that can; always False."""
    log.error("submission %s waits: %s", hold.id, why)
    shutil.rmtree(scratch_folder(hold.board, hold.id), ignore_errors=True)
    release(hold.board, hold.id, hold.worker)
    return False


def _verdict(
    hold: _Hold, one: Submission, verifier: Verifier, limit_s: float, folder: Path
) -> Outcome:
    try:
        job = _job(hold.board, one, folder)
        for _ in range(2):
            try:
                return verifier.verify(job, hold.pulse)
            except Died:
                log.warning("verification of submission %s died", one.id)
                shutil.rmtree(folder, ignore_errors=True)
        return Outcome("refused", DIED, None)
    except Overtime:
        return Outcome("refused", f"verification took longer than {limit_s:g} s", None)
    except InputError as error:
        return Outcome("refused", str(error), None)


def _job(board: Board, one: Submission, folder: Path) -> dict[str, Any]:
    if one.kind != "attempt":
        archive = archive_path(board, one.about["sha256"])
        if not archive.is_file():
            raise InputError("the board has lost the archive; tell whoever runs it")
        return run_job(one.id, archive, folder)
    played = season(board, one.about["season"])
    if played is None:
        raise InputError(f"there is no season {one.about['season']!r} any more")
    key = world_key(secret(board, played.name), one.key)
    given = actions_of_attempt(board, one.id)
    return attempt_job(one.id, played.suite, key, one.key, one.about, given, folder)


def _conclude(hold: _Hold, outcome: Outcome) -> bool:
    result = Result(**outcome.columns) if outcome.columns else None
    mine = (hold.board, hold.id, hold.worker)
    try:
        return conclude(*mine, outcome.state, outcome.message, result)
    except (DataError, UnicodeEncodeError):
        what = "a name in the manifest has characters that the board cannot keep"
        return conclude(*mine, "refused", what, None)


def _sweep(board: Board) -> None:
    """Remove what killed workers left of submissions that have their verdict."""
    found = list(scratch_folder(board, 0).parent.iterdir())  # before asking who is busy
    busy = {str(lease.submission_id) for lease in leases(board)}
    for left in found:
        if left.name not in busy:
            shutil.rmtree(left, ignore_errors=True)


def _replace(new: Path, old: Path) -> None:
    """Move a folder to where one of an earlier, interrupted move may be."""
    shutil.rmtree(old, ignore_errors=True)
    new.replace(old)


@contextmanager
def _stopping(flag: Flag | None) -> Iterator[Callable[[], bool]]:
    """Whether a signal, the flag or the end of the parent asks the worker to stop."""
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
