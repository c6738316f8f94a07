"""Seasons of play on hidden seeds, and the secrets that their worlds come from."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from ...errors import InputError
from ..hidden.keys import SECRET_BYTES, commitment
from .database import Board
from .files import checked_name, secret_path
from .schema import Season


def open_season(board: Board, name: str, suite: str, opens: str, closes: str) -> Season:
    """Draw a secret, keep it in a file that only this user may read, and commit to it.

    suite          id of the suite whose tasks are played, such as quick@2
    opens, closes  ISO 8601 with a zone

    Raises InputError where there is a season of that name, or where the times make none.
    """
    start, end = moment(opens), moment(closes)
    if not start < end:
        raise InputError(f"season {name!r} closes at {end}, not after it opens at {start}")
    row = Season(
        name=checked_name(name),
        suite=suite,
        opens=start,
        closes=end,
        commitment=commitment(_drawn(secret_path(board, name)), name),
    )
    try:
        with board.transaction() as session:
            session.add(row)
    except IntegrityError:
        raise InputError(f"there is a season {name!r} already; choose another name") from None
    return row


def season(board: Board, name: str) -> Season | None:
    """The season of that name, if there is one."""
    with board.session() as session:
        return session.get(Season, name)


def seasons(board: Board) -> list[Season]:
    """All seasons, the one that opened last first."""
    with board.session() as session:
        return list(session.scalars(select(Season).order_by(Season.opens.desc(), Season.name)))


def closing_time(board: Board, name: str) -> str:
    """When a season closes; raises InputError where there is none of that name."""
    found = season(board, name)
    if found is None:
        raise InputError(f"there is no season {name!r}; open it first")
    return found.closes


def secret(board: Board, name: str) -> bytes:
    """The 32 bytes that the worlds of a season come from; for the service only.

    Raises InputError where the file is missing, or is not what the season committed to.
    """
    found, file = season(board, name), secret_path(board, name)
    if found is None:
        raise InputError(f"there is no season {name!r}; open it first")
    try:
        kept = file.read_bytes()
    except OSError as error:
        raise InputError(f"season {name!r} has lost its secret: {error.strerror}") from None
    if len(kept) != SECRET_BYTES or commitment(kept, name) != found.commitment:
        raise InputError(f"season {name!r} has another secret than it committed to; restore it")
    return kept


def published_secret(board: Board, name: str, now: str) -> str | None:
    """The secret in hexadecimal digits from the moment on when the season closes; else None.

    now  ISO 8601 with a zone
    """
    found = season(board, name)
    if found is None or moment(now) < found.closes:
        return None
    return secret(board, name).hex()


def moment(time: str) -> str:
    """A time as the tables write it, so that earlier times are smaller strings."""
    try:
        read = datetime.fromisoformat(time)
        if read.tzinfo is None:
            raise ValueError
        return read.astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        raise InputError(
            f"time {time[:80]!r} cannot be read; write it such as 2027-03-01T00:00:00+00:00"
        ) from None


def _drawn(file: Path) -> bytes:
    """The secret in `file`, which appears at once and whole, whoever else may be drawing it."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as opened:
        opened.write(secrets.token_bytes(SECRET_BYTES))
        opened.flush()
        os.fsync(opened.fileno())
    with suppress(FileExistsError):
        os.link(draft, file)
    draft.unlink()
    return file.read_bytes()
