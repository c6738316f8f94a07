"""Submissions to a board, and their events."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from .database import Board, ConflictError
from .schema import FINAL, FOLLOWS, Event, Json, Lease, Submission, utc_now

MAX_MESSAGE_LENGTH = 1000


def add_submission(
    board: Board, *, kind: str, key: str, owner: str, about: Json, state: str, message: str = ""
) -> tuple[Submission, bool]:
    """Store a submission and its first event.

    Returns its row, and False where `key` was stored before: then nothing is written, and the
    row is the earlier one.
    """
    try:
        with board.transaction() as session:
            known = session.scalar(select_by_key(key))
            if known is not None:
                return known, False
            return insert_submission(session, kind, key, owner, about, state, message), True
    except IntegrityError:
        with board.session() as session:
            return session.scalars(select_by_key(key)).one(), False


def submission(board: Board, id: int) -> Submission | None:
    """Return the submission with this number, if there is one."""
    with board.session() as session:
        return session.get(Submission, id)


def by_key(board: Board, key: str) -> Submission | None:
    """Return the submission with this key, if there is one."""
    with board.session() as session:
        return session.scalar(select_by_key(key))


def add_event(board: Board, id: int, state: str, message: str, *, after: int) -> Event:
    """Add the event that follows number `after`; "queued" also adds it to the queue.

    Raises ConflictError where that is not the last one, LookupError where there is no such
    submission and ValueError where `state` cannot follow.
    """
    with board.transaction() as session:
        lock_submission(session, id)
        if last_event(session, id).seq != after:
            raise ConflictError(f"submission {id} has a newer event")
        return append_event(session, id, state, message)


def latest_event(board: Board, id: int) -> Event:
    """Return the last event of an existing submission, which holds its state."""
    with board.session() as session:
        return last_event(session, id)


def history(board: Board, id: int) -> list[Event]:
    """Return all events of a submission in order; empty where there is no such submission."""
    with board.session() as session:
        events = select(Event).where(Event.submission_id == id).order_by(Event.seq)
        return list(session.scalars(events))


def latest_events(
    board: Board, kind: str | None = None, state: str | None = None
) -> Sequence[tuple[Submission, Event]]:
    """Return every submission with its last event, in order of submission.

    kind, state  only those of this kind and in this state
    """
    newest = (
        select(Event.submission_id, func.max(Event.seq).label("seq"))
        .group_by(Event.submission_id)
        .subquery()
    )
    query = (
        select(Submission, Event)
        .join(newest, newest.c.submission_id == Submission.id)
        .join(Event, (Event.submission_id == Submission.id) & (Event.seq == newest.c.seq))
        .order_by(Submission.id)
    )
    if kind is not None:
        query = query.where(Submission.kind == kind)
    if state is not None:
        query = query.where(Event.state == state)
    with board.session() as session:
        return [(row[0], row[1]) for row in session.execute(query)]


def insert_submission(
    session: Session, kind: str, key: str, owner: str, about: Json, state: str, message: str
) -> Submission:
    """Add a submission and its first event within a transaction."""
    row = Submission(kind=kind, key=key, owner=owner, created=utc_now(), about=about)
    session.add(row)
    session.flush()
    append_event(session, row.id, state, message)
    return row


def append_event(session: Session, id: int, state: str, message: str) -> Event:
    """Add the next event within a transaction that has locked the submission."""
    before = session.scalar(_newest(id))
    old = before.state if before else ""
    if state not in FOLLOWS.get(old, ()):
        raise ValueError(f"submission {id} cannot become {state!r} from {old!r}")
    line = " ".join(message.encode("utf-8", "backslashreplace").decode().split())
    line = line.replace("\0", "\\0")[:MAX_MESSAGE_LENGTH]
    seq = before.seq + 1 if before else 0
    event = Event(submission_id=id, seq=seq, at=utc_now(), state=state, message=line)
    session.add(event)
    if state == "queued":
        session.add(Lease(submission_id=id, worker="", expires=0.0, attempts=0))
    elif state in FINAL:
        session.execute(delete(Lease).where(Lease.submission_id == id))
    session.flush()
    return event


def lock_submission(session: Session, id: int) -> Submission:
    """Return the submission, locked until the transaction ends; raises LookupError."""
    query = select(Submission).where(Submission.id == id).with_for_update(key_share=True)
    found = session.scalar(query)
    if found is None:
        raise LookupError(f"there is no submission {id}")
    return found


def last_event(session: Session, id: int) -> Event:
    """Return the last event of a submission within a transaction."""
    return session.scalars(_newest(id)).one()


def _newest(id: int) -> Select[Event]:
    return select(Event).where(Event.submission_id == id).order_by(Event.seq.desc()).limit(1)


def select_by_key(key: str) -> Select[Submission]:
    """Return the query for the submission with this key."""
    return select(Submission).where(Submission.key == key)
