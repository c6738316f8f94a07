"""An archive that arrives in pieces, and that a crash at any instant leaves ready to go on.

The bytes that came lie in one file, whose size is the next offset. A piece is appended and
synced under an exclusive lock; the last one leads to the check of the hash, a rename to where
archives lie, and the event that queues the submission. A crash before the rename leaves all
bytes, and asking for the upload again does the rest; a crash after it leaves no upload, so that
the archive is sent once more and takes the place of the same one.
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


def arrived(board: Board, submission: Submission) -> int:
    """The next offset of an archive; completes what a crash has left almost done."""
    size: int = submission.about["size"]
    if latest_event(board, submission.id).state != RECEIVING:
        return size
    try:
        came = upload_path(board, submission.id).stat().st_size
    except FileNotFoundError:
        return 0
    if came < size:
        return came
    try:
        return append(board, submission, size, b"")
    except Problem as problem:
        offset: int = problem.more["offset"]
        return offset


def append(board: Board, submission: Submission, offset: int, piece: bytes) -> int:
    """Keep a piece for good; returns the next offset.

    Raises Problem 409 with the right offset where `offset` is another, where the archive is
    complete already, or where the complete archive has another hash than was announced (then it
    is dropped and begins at 0); 413 for more bytes than were announced.
    """
    size: int = submission.about["size"]
    path = upload_path(board, submission.id)
    with _locked(path) as file:
        last = latest_event(board, submission.id)
        if last.state != RECEIVING:
            path.unlink()
            raise Problem(409, "the archive is complete", offset=size)
        here = os.fstat(file.fileno()).st_size
        if offset != here:
            raise Problem(409, f"the next byte is number {here}", offset=here)
        if here + len(piece) > size:
            raise Problem(413, f"the archive was announced with {size} bytes")
        file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        here += len(piece)
        if here == size:
            _complete(board, submission, path, last.seq)
    return here


def _complete(board: Board, submission: Submission, path: Path, seq: int) -> None:
    """Check the whole archive and queue it. Wrong bytes leave no event: there is no end to them."""
    announced = submission.about["sha256"]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != announced:
        path.unlink()
        what = f"what arrived has hash {found}, not the one announced; send it again from byte 0"
        raise Problem(409, what, offset=0)
    archive = archive_path(board, announced)
    os.replace(path, archive)
    _sync_folder(archive.parent)
    add_event(board, submission.id, QUEUED, f"{submission.about['size']} bytes arrived", after=seq)


def open_count(board: Board, owner: str, kind: str, since: str) -> int:
    """How many of an owner have no verdict; uploads only where something came `since`."""
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

    The submission stays as it is, with an event that says so: its owner may begin anew.
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
            what = "nothing followed for too long, so what had arrived was dropped; begin anew"
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
    """The file at `path`, made where there is none, for this thread of this process alone.

    Whoever waited finds another file there, or none, if it was renamed meanwhile: then again.
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
