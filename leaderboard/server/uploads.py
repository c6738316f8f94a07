"""Uploads of archives in pieces, resumable after a crash at any instant.

The bytes received so far are in one file, whose size is the next offset. A piece is appended and
synced under an exclusive lock; the last one leads to the check of the hash, a rename into the
archive folder, and the event that queues the submission. After a crash before the rename all
bytes are there, and asking for the upload again does the rest; after a crash behind it there is
no upload, so that the archive is sent once more and replaces itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import func, select

from ..store.database import Board, ConflictError
from ..store.files import archive_path, upload_path
from ..store.schema import FINAL, Event, Submission
from ..store.submissions import add_event, latest_event
from ..store.submissions import submission as find
from .problems import Problem

RECEIVING, QUEUED = "receiving", "queued"


def next_offset(board: Board, submission: Submission) -> int:
    """The next offset of an archive; finishes an upload that a crash left complete."""
    size: int = submission.about["size"]
    if latest_event(board, submission.id).state != RECEIVING:
        return size
    try:
        received = upload_path(board, submission.id).stat().st_size
    except FileNotFoundError:
        return 0
    if received < size:
        return received
    try:
        return append(board, submission, size, b"")
    except Problem as problem:
        offset: int = problem.more["offset"]
        return offset


def append(board: Board, submission: Submission, offset: int, piece: bytes) -> int:
    """Append a piece durably; returns the next offset.

    Raises Problem 409 with the right offset where `offset` is wrong, where the archive is already
    complete, or where the complete archive has another hash than was announced (then it is
    dropped and restarts at 0); 413 for more bytes than were announced.
    """
    size: int = submission.about["size"]
    path = upload_path(board, submission.id)
    with _locked(path) as file:
        last = latest_event(board, submission.id)
        if last.state != RECEIVING:
            path.unlink()
            raise Problem(409, "the archive is complete", offset=size)
        end = os.fstat(file.fileno()).st_size
        if offset != end:
            raise Problem(409, f"the next offset is {end}", offset=end)
        if end + len(piece) > size:
            raise Problem(413, f"the archive was announced with {size} bytes")
        file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        end += len(piece)
        if end == size:
            _complete(board, submission, path, last.seq)
    return end


def _complete(board: Board, submission: Submission, path: Path, seq: int) -> None:
    """Check the whole archive and queue it; wrong bytes add no event, as they may come for ever."""
    announced = submission.about["sha256"]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != announced:
        path.unlink()
        what = f"the archive has hash {found}, not the one announced; send it again from byte 0"
        raise Problem(409, what, offset=0)
    archive = archive_path(board, announced)
    os.replace(path, archive)
    _sync_folder(archive.parent)
    add_event(board, submission.id, QUEUED, f"{submission.about['size']} bytes received", after=seq)


def open_count(board: Board, owner: str, kind: str, since: str) -> int:
    """Number of an owner's submissions without a verdict; uploads only if active `since`."""
    newest = (
        select(func.max(Event.seq))
        .where(Event.submission_id == Submission.id)
        .correlate(Submission)
        .scalar_subquery()
    )
    count = (
        select(func.count())
        .select_from(Submission)
        .join(Event, (Event.submission_id == Submission.id) & (Event.seq == newest))
        .where(Submission.owner == owner, Submission.kind == kind)
        .where(Event.state.not_in(FINAL), (Event.state != RECEIVING) | (Event.at >= since))
    )
    with board.session() as session:
        return session.scalar(count) or 0


def drop_stalled(board: Board, before: float) -> int:
    """Drop uploads to which nothing was added since `before` (epoch); returns how many.

    The submission stays, with an event that says so: its owner may start over.
    """
    dropped = 0
    for path in _uploads(board):
        number = int(path.stem)
        if find(board, number) is None:
            continue
        with _locked(path) as file:
            if os.fstat(file.fileno()).st_mtime >= before:
                continue
            path.unlink()
        last = latest_event(board, number)
        if last.state == RECEIVING:
            what = "the upload did not continue, so what had arrived was dropped; start over"
            try:
                add_event(board, number, RECEIVING, what, after=last.seq)
            except ConflictError:
                continue
            dropped += 1
    return dropped


def _uploads(board: Board) -> list[Path]:
    folder = upload_path(board, 1).parent
    return sorted(path for path in folder.glob("*") if path.stem.isdecimal())


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file at `path`, created if missing, locked for this thread of this process.

    While this waits for the lock the file may be renamed or removed: then it tries again.
    """
    while True:
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, path):
                yield file
                return


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
