"""Results of accepted submissions, and their invalidation."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from ...errors import InputError
from .database import Board
from .schema import Invalidation, Json, Result, Submission, utc_now
from .submissions import append_event, insert_submission, select_by_key

if TYPE_CHECKING:
    from ..verification.verify import VerifiedRun


def result_of(run: VerifiedRun, submission_id: int, track: str) -> Result:
    """Return the row for a verified run; `track` is replayed or hidden-seed."""
    identity = run.manifest.identity
    return Result(
        submission_id=submission_id,
        suite=identity.suite,
        suite_hash=identity.suite_hash,
        simulator_version=identity.simulator_version,
        agent=identity.agent,
        decoder=identity.decoder,
        pair=identity.pair,
        privileged=run.privileged,
        identity_hash=run.manifest.identity_hash,
        actions_digest=run.actions_digest,
        track=track,
        tasks=list(run.tasks),
        trust=dict(run.trust),
        manifest=asdict(run.manifest),
        scores=[asdict(row) for row in run.scores],
        timed=[asdict(row) for row in run.timed],
        overall=[asdict(row) for row in run.overall],
        sums=dict(run.sums),
    )


def record_verified_run(
    board: Board, *, key: str, owner: str, about: Json, run: VerifiedRun, message: str
) -> tuple[Submission, bool]:
    """Store a run that was verified in this process: submission, events and result at once.

    Returns the submission, and False where `key` was stored before.
    """
    try:
        with board.transaction() as session:
            known = session.scalar(select_by_key(key))
            if known is not None:
                return known, False
            row = insert_submission(
                session, "run", key, owner, about, "queued", "submitted locally"
            )
            append_event(session, row.id, "working", "verified locally")
            session.add(result_of(run, row.id, "replayed"))
            append_event(session, row.id, "accepted", message)
            return row, True
    except IntegrityError:
        with board.session() as session:
            return session.scalars(select_by_key(key)).one(), False


def results(
    board: Board, suite: str | None = None
) -> list[tuple[Submission, Result, Invalidation | None]]:
    """Return all accepted submissions, or those of one suite id, in order of submission.

    The third value is the latest invalidation, if any.
    """
    latest = (
        select(Invalidation.submission_id, func.max(Invalidation.id).label("id"))
        .group_by(Invalidation.submission_id)
        .subquery()
    )
    query = (
        select(Submission, Result, Invalidation)
        .join(Result, Result.submission_id == Submission.id)
        .outerjoin(latest, latest.c.submission_id == Submission.id)
        .outerjoin(Invalidation, Invalidation.id == latest.c.id)
        .order_by(Submission.id)
    )
    if suite is not None:
        query = query.where(Result.suite == suite)
    with board.session() as session:
        return [(row[0], row[1], row[2]) for row in session.execute(query)]


def first_with_actions(board: Board, actions_digest: str) -> int:
    """Return the number of the earliest accepted submission with exactly these slates.

    Raises LookupError where there is none.
    """
    same = select(func.min(Result.submission_id)).where(Result.actions_digest == actions_digest)
    with board.session() as session:
        found = session.scalar(same)
    if found is None:
        raise LookupError(f"no submission has the actions {actions_digest}")
    return found


def invalidate(
    board: Board, id: int, by: str, reason: str, replaced_by: int | None = None
) -> Invalidation:
    """Record that the result of `id` no longer counts; the result itself stays.

    Raises InputError where `id` or `replaced_by` has no result.
    """
    with board.transaction() as session:
        for one in (id, replaced_by):
            if one is not None and session.get(Result, one) is None:
                raise InputError(f"submission {one} was never accepted; name an accepted one")
        if replaced_by == id:
            raise InputError(f"submission {id} cannot be replaced by itself; name another one")
        row = Invalidation(
            submission_id=id, at=utc_now(), by=by, reason=reason, replaced_by=replaced_by
        )
        session.add(row)
        session.flush()
        return row
