"""Routes for the administrators of a board: tokens, seasons, invalidations, and the audit."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy import select

from ....errors import InputError
from ...hidden.attempt import Attempt
from ...keys import SECRET_BYTES
from ...protocol import API
from ...store import results, seasons, tokens
from ...store.schema import Event, Invalidation, Submission, Token
from ...store.submissions import submission
from ..dependencies import AdminToken, State, SubmissionId
from ..problems import Problem, declared
from ..schemas import (
    LARGEST_ID,
    PLAIN_NAME_PATTERN,
    AuditPage,
    InvalidationInfo,
    IssuedToken,
    NewInvalidation,
    NewSeason,
    NewToken,
    SeasonInfo,
    TokenInfo,
)
from .public import season_info
from .submissions import submission_info

router = APIRouter(prefix=API, tags=["admin"])
WRITE_PROBLEMS = declared(400, 401, 403, 408, 409, 413, 422, 429, 500, 503)


@router.post("/admin/tokens", status_code=201, responses=WRITE_PROBLEMS)
def issue(state: State, admin: AdminToken, request: NewToken) -> IssuedToken:
    """Issue a token; a name is used once, even if its token was revoked."""
    try:
        token = tokens.issue(state.board, request.name, request.scope)
    except InputError as error:
        raise Problem(409, str(error)) from None
    return IssuedToken(name=request.name, scope=request.scope, token=token)


@router.delete(
    "/admin/tokens/{name}", status_code=204, responses=declared(401, 403, 404, 422, 429, 500, 503)
)
def revoke(
    state: State, admin: AdminToken, name: Annotated[str, Path(pattern=PLAIN_NAME_PATTERN)]
) -> None:
    """Revoke a token for good."""
    if not tokens.revoke(state.board, name):
        raise Problem(404, f"there is no token {name} that could be revoked")


@router.post("/admin/seasons", status_code=201, responses=WRITE_PROBLEMS)
def open_season(state: State, admin: AdminToken, request: NewSeason) -> SeasonInfo:
    """Open a season: its secret is drawn now, and its commitment is public at once."""
    opens, closes = (time.isoformat(timespec="seconds") for time in (request.opens, request.closes))
    if opens >= closes:
        raise Problem(409, "a season must close after it opens")
    try:
        Attempt(request.suite, bytes(SECRET_BYTES), request.name)  # raises if it cannot be played
        season = seasons.open_season(state.board, request.name, request.suite, opens, closes)
    except InputError as error:
        raise Problem(409, str(error)) from None
    return season_info(state, season)


@router.post(
    "/admin/submissions/{number}/invalidation",
    status_code=201,
    responses=WRITE_PROBLEMS | declared(404),
)
def invalidate(
    state: State, admin: AdminToken, number: SubmissionId, request: NewInvalidation
) -> InvalidationInfo:
    """Record that a submission no longer counts; it stays on the board, marked."""
    for needed in (number, request.replaced_by):
        if needed is not None and submission(state.board, needed) is None:
            raise Problem(404, f"there is no submission {needed}")
    reason, replaced_by = request.reason, request.replaced_by
    try:
        made = results.invalidate(state.board, number, admin.name, reason, replaced_by)
    except InputError as error:
        raise Problem(409, str(error)) from None
    return _invalidation_info(made)


@router.get("/audit", responses=declared(401, 403, 422, 429, 500, 503))
def audit(
    state: State,
    admin: AdminToken,
    after: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditPage:
    """All submissions, events, invalidations and tokens, oldest first, in pages."""
    wanted = select(Submission).where(Submission.id > after).order_by(Submission.id).limit(limit)
    with state.board.session() as session:
        found = list(session.scalars(wanted))
        ids = [one.id for one in found]
        events: dict[int, list[Event]] = {id: [] for id in ids}
        of_these = select(Event).where(Event.submission_id.in_(ids))
        for event in session.scalars(of_these.order_by(Event.submission_id, Event.seq)):
            events[event.submission_id].append(event)
        wrong = select(Invalidation).where(Invalidation.submission_id.in_(ids))
        invalidations = list(session.scalars(wrong.order_by(Invalidation.id)))
        issued = list(session.scalars(select(Token).order_by(Token.name)))
    return AuditPage(
        submissions=[submission_info(one, events[one.id]) for one in found],
        invalidations=[_invalidation_info(one) for one in invalidations],
        tokens=[
            TokenInfo(name=t.name, scope=t.scope, created=t.created, revoked=t.revoked)
            for t in issued
        ],
        next=ids[-1] if len(ids) == limit else None,
    )


def _invalidation_info(one: Invalidation) -> InvalidationInfo:
    return InvalidationInfo(
        submission=one.submission_id,
        at=one.at,
        by=one.by,
        reason=one.reason,
        replaced_by=one.replaced_by,
    )
