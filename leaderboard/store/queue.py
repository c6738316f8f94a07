"""The queue of submissions to be verified; no crash of a worker loses one.

A worker that takes a submission holds a lease on it and must renew it before it expires. Only the
holder of the lease may renew or conclude, so each verdict is written once, by one worker.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ...errors import InputError
from .database import Board
from .schema import Lease, Result, Submission
from .submissions import add_event, append_event, history, lock_submission

MAX_ATTEMPTS = 10
"""How often a submission may be taken. A crash of the verification process does not end its worker,
so several lost workers are not evidence against a submission."""


def claim(board: Board, worker: str, *, now: float, ttl: float) -> Submission | None:
    """Take the oldest submission without a valid lease; None where there is none.

    worker  a unique name, never used by another worker
    now     seconds since the epoch; the lease expires `ttl` seconds later

    A submission that was taken MAX_ATTEMPTS times without a verdict is refused instead.
    """
    while True:
        with board.transaction() as session:
            found = _first_free(session, now)
            if found is None:
                return None
            one, lease = found
            if lease.attempts < MAX_ATTEMPTS:
                lease.worker, lease.expires = worker, now + ttl
                lease.attempts += 1
                append_event(session, one.id, "working", "verification started")
                return one
            append_event(session, one.id, "refused", f"verification was lost {MAX_ATTEMPTS} times")


def renew(board: Board, id: int, worker: str, *, now: float, ttl: float) -> bool:
    """Extend a lease to `now` + `ttl`; False where `worker` no longer holds it."""
    with board.transaction() as session:
        lease = _lease(session, id, worker)
        if lease is not None:
            lease.expires = now + ttl
        return lease is not None


def conclude(
    board: Board, id: int, worker: str, state: str, message: str, result: Result | None
) -> bool:
    """Write the verdict and the result and end the lease, in one transaction.

    Writes nothing and returns False where `worker` no longer holds the lease.
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
    """Queue a refused submission again, after a fault of the board such as a full disk.

    Raises InputError for one that was not refused, or whose upload never completed.
    """
    events = history(board, id)
    if not events or events[-1].state != "refused":
        raise InputError(
            f"submission {id} was not refused; only refused submissions can be retried"
        )
    if "queued" not in {event.state for event in events}:
        raise InputError(f"submission {id} was never uploaded completely; submit it again")
    add_event(board, id, "queued", "to be verified again", after=events[-1].seq)


def release(board: Board, id: int, worker: str) -> bool:
    """Give up a lease without a verdict, as a worker does on shutdown; not counted as a try."""
    with board.transaction() as session:
        lease = _lease(session, id, worker)
        if lease is not None:
            lease.worker, lease.expires = "", 0.0
            lease.attempts -= 1
        return lease is not None


def leases(board: Board) -> list[Lease]:
    """Return all leases, oldest submission first."""
    with board.session() as session:
        return list(session.scalars(select(Lease).order_by(Lease.submission_id)))


def _first_free(session: Session, now: float) -> tuple[Submission, Lease] | None:
    """Lock and return the oldest submission with an expired lease, skipping locked rows."""
    query = (
        select(Submission, Lease)
        .join(Lease, Lease.submission_id == Submission.id)
        .where(Lease.expires <= now)
        .order_by(Lease.submission_id)
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True)
    )
    row = session.execute(query).first()
    return (row[0], row[1]) if row else None


def _lease(session: Session, id: int, worker: str) -> Lease | None:
    """Lock and return the lease if this worker still holds it."""
    query = select(Lease).where(Lease.submission_id == id, Lease.worker == worker)
    return session.scalar(query.with_for_update())
