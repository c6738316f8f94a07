"""Seasons of hidden-seed play, and their secrets."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from ...errors import InputError
from ...storage import atomic_path
from ..keys import SECRET_BYTES, commitment
from .database import Board
from .files import checked_name, secret_path
from .schema import Season


def open_season(board: Board, name: str, suite: str, opens: str, closes: str) -> Season:
    """Open a season: draw its secret into a file only this user can read, and commit to it.

    suite          id of the suite whose tasks are played, such as quick@2
    opens, closes  ISO 8601 with a time zone

    Raises InputError where the name is taken or `closes` is not after `opens`.
    """
    start, end = utc_time(opens), utc_time(closes)
    if not start < end:
        raise InputError(f"season {name!r} closes at {end}, which is not after it opens at {start}")
    row = Season(
        name=checked_name(name),
        suite=suite,
        opens=start,
        closes=end,
        commitment=commitment(_draw_secret(secret_path(board, name)), name),
    )
    try:
        with board.transaction() as session:
            session.add(row)
    except IntegrityError:
        raise InputError(f"there is a season {name!r} already; choose another name") from None
    return row


def season(board: Board, name: str) -> Season | None:
    """Return the season of that name, if there is one."""
    with board.session() as session:
        return session.get(Season, name)


def seasons(board: Board) -> list[Season]:
    """Return all seasons, latest opening first."""
    with board.session() as session:
        return list(session.scalars(select(Season).order_by(Season.opens.desc(), Season.name)))


def closing_time(board: Board, name: str) -> str:
    """Return when a season closes; raises InputError where there is no such season."""
    found = season(board, name)
    if found is None:
        raise InputError(f"there is no season {name!r}; open it first")
    return found.closes


def secret(board: Board, name: str) -> bytes:
    """Return the 32 secret bytes of a season; never to be sent while it is open.

    Raises InputError where the file is missing or does not match the season's commitment.
    """
    found, file = season(board, name), secret_path(board, name)
    if found is None:
        raise InputError(f"there is no season {name!r}; open it first")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"season {name!r} has lost its secret: {error.strerror}") from None
    if len(content) != SECRET_BYTES or commitment(content, name) != found.commitment:
        raise InputError(
            f"season {name!r} has a secret that does not match its commitment; restore it"
        )
    return content


def published_secret(board: Board, name: str, now: str) -> str | None:
    """Return the secret in hexadecimal digits once the season has closed, else None.

    now  ISO 8601 with a time zone
    """
    found = season(board, name)
    if found is None or utc_time(now) < found.closes:
        return None
    return secret(board, name).hex()


def utc_time(time: str) -> str:
    """Return a time in the format of the tables, whose alphabetical order is that of time."""
    try:
        parsed = datetime.fromisoformat(time)
        if parsed.tzinfo is None:
            raise ValueError
        return parsed.astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        raise InputError(
            f"time {time[:80]!r} cannot be read; write it such as 2027-03-01T00:00:00+00:00"
        ) from None


def _draw_secret(file: Path) -> bytes:
    """Return the secret in `file`, which is created atomically if there is none."""
    with (
        suppress(FileExistsError),
        atomic_path(file, overwrite=False, sync=True) as temporary,
    ):
        temporary.touch(0o600)
        temporary.write_bytes(secrets.token_bytes(SECRET_BYTES))
    return file.read_bytes()
