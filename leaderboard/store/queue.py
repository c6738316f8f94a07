"""The queue of submissions that wait for a verdict; nobody's crash loses one.

Whoever takes a submission holds a lease on it, and must renew that before it expires. A lease
that was lost is known by its row: only its holder may renew or conclude, so a verdict is written
once, by one worker.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ...errors import InputError
from .database import Board
from .schema import Lease, Result, Submission
from .submissions import add_event, append_event, history, lock_submission

MOST_ATTEMPTS = 10
"""How often workers may be lost over one submission. One that ends its verifier does not end the
worker, so that they are innocent who meet many deaths."""


def claim(board: Board, worker: str, *, now: float, ttl: float) -> Submission | None:
    """Take the oldest submission that nobody works at; None where there is none.

    worker  a name that no other worker has or had
    now     seconds since the epoch; the lease is lost `ttl` seconds later

    A submission that was taken and lost MOST_ATTEMPTS times is refused, not taken again.
    """
    while True:
        with board.transaction() as session:
            found = _first_free(session, now)
            if found is None:
                return None
            one, lease = found
            if lease.attempts < MOST_ATTEMPTS:
                lease.worker, lease.expires = worker, now + ttl
                lease.attempts += 1
                append_event(session, one.id, "working", "verification has begun")
                return one
            append_event(session, one.id, "refused", f"verification was lost {MOST_ATTEMPTS} times")


def renew(board: Board, id: int, worker: str, *, now: float, ttl: float) -> bool:
    """Hold a lease for `ttl` seconds more; False where it is no longer `worker`'s."""
    with board.transaction() as session:
        lease = _lease(session, id, worker)
        if lease is not None:
            lease.expires = now + ttl
        return lease is not None


def conclude(
    board: Board, id: int, worker: str, state: str, message: str, result: Result | None
) -> bool:
    """Write the verdict, what is believed, and the end of the lease: all or nothing.

    False, and nothing is written, where the lease is no longer `worker`'s.
    """
    with board.transaction() as session:
        lock_submission(session, id)
        if _lease(session, id, worker) is None:
            return False
        append_event(session, id, state, message)
        if result is not None:
            session.add(result)
        return True


def retry(board: Board, id: int) -> None:
    """Have a refused submission verified again: the board was to blame, by a full disk or a bug.

    Raises InputError for one that was not refused, or whose bytes never came.
    """
    told = history(board, id)
    if not told or told[-1].state != "refused":
        raise InputError(f"submission {id} was not refused; only what was refused can be retried")
    if "queued" not in {event.state for event in told}:
        raise InputError(f"submission {id} never arrived whole; have it submitted again")
    add_event(board, id, "queued", "to be verified again", after=told[-1].seq)


def release(board: Board, id: int, worker: str) -> bool:
    """Give a submission back untried, as a worker does that is asked to stop."""
    with board.transaction() as session:
        lease = _lease(session, id, worker)
        if lease is not None:
            lease.worker, lease.expires = "", 0.0
            lease.attempts -= 1
        return lease is not None


def leases(board: Board) -> list[Lease]:
    """All places in the queue, oldest first."""
    with board.session() as session:
        return list(session.scalars(select(Lease).order_by(Lease.submission_id)))


def _first_free(session: Session, now: float) -> tuple[Submission, Lease] | None:
    """The oldest with an expired lease, held; those that somebody else holds are passed over."""
    wanted = (
        select(Submission, Lease)
        .join(Lease, Lease.submission_id == Submission.id)
        .where(Lease.expires <= now)
        .order_by(Lease.submission_id)
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True)
    )
    row = session.execute(wanted).first()
    return (row[0], row[1]) if row else None


def _lease(session: Session, id: int, worker: str) -> Lease | None:
    """The lease, held, if it is still this worker's."""
    mine = select(Lease).where(Lease.submission_id == id, Lease.worker == worker)
    return session.scalar(mine.with_for_update())
