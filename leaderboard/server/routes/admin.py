"""Routes for those who keep a board: tokens, seasons, errata, and the audit trail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field
from sqlalchemy import select

from ....errors import InputError
from ...hidden.attempt import Attempt
from ...hidden.keys import SECRET_BYTES
from ...store import results, seasons, tokens
from ...store.files import NAME
from ...store.schema import Event, Invalidation, Submission, Token
from ...store.submissions import submission
from ..dependencies import LARGEST_ID, Admin, Here
from ..problems import Problem, declared
from ..request_bodies import LINE, WHOLE, Strict
from .public import SeasonKnown, season_known
from .submissions import Known, Number, Told

routes = APIRouter(prefix="/api/v1", tags=["admin"])
SPELLED = f"^{NAME}$"
WRITING = declared(400, 401, 403, 408, 409, 413, 422, 429, 500, 503)


def _moment(value: Any) -> datetime:
    """A time from its RFC 3339 spelling, to the second; ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError("must be a text such as 2030-01-31T00:00:00Z")
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("needs a time zone, such as Z")
    try:
        return moment.astimezone(UTC).replace(microsecond=0)
    except OverflowError:
        raise ValueError("is out of range") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]


class NewToken(Strict):
    """A token to be issued: submit for those who submit and play, admin for all of it."""

    name: str = Field(pattern=SPELLED)
    scope: Literal["submit", "admin"]


class Issued(BaseModel):
    """A token, told this once and stored nowhere."""

    name: str
    scope: str
    token: str


class NewSeason(Strict):
    """A season of hidden-seed play."""

    name: str = Field(pattern=SPELLED)
    suite: str = Field(pattern=r"^[A-Za-z0-9@+=._-]{1,120}$")
    opens: Moment
    closes: Moment


class Erratum(Strict):
    """Why a submission no longer counts, and which one stands in its place."""

    reason: str = Field(min_length=1, max_length=500, pattern=LINE)
    replaced_by: Annotated[int, Field(ge=1, le=LARGEST_ID), WHOLE] | None = None


class Corrected(BaseModel):
    """An erratum as it was recorded."""

    submission: int
    at: str
    by: str
    reason: str
    replaced_by: int | None


class TokenKnown(BaseModel):
    """A token without what would let anybody use it."""

    name: str
    scope: str
    created: str
    revoked: str | None


class Audit(BaseModel):
    """The trail: submissions after a number with all their events, errata, and tokens.

    next  ask with after=next for more; null at the end
    """

    submissions: list[Known]
    errata: list[Corrected]
    tokens: list[TokenKnown]
    next: int | None


@routes.post("/admin/tokens", status_code=201, responses=WRITING)
def issue(desk: Here, admin: Admin, asked: NewToken) -> Issued:
    """Issue a token; a name is used once, even if its token was revoked."""
    try:
        token = tokens.issue(desk.board, asked.name, asked.scope)
    except InputError as error:
        raise Problem(409, str(error)) from None
    return Issued(name=asked.name, scope=asked.scope, token=token)


@routes.delete(
    "/admin/tokens/{name}", status_code=204, responses=declared(401, 403, 404, 422, 429, 500, 503)
)
def revoke(desk: Here, admin: Admin, name: Annotated[str, Path(pattern=SPELLED)]) -> None:
    """Revoke a token for good."""
    if not tokens.revoke(desk.board, name):
        raise Problem(404, f"there is no token {name} that could be revoked")


@routes.post("/admin/seasons", status_code=201, responses=WRITING)
def open_season(desk: Here, admin: Admin, asked: NewSeason) -> SeasonKnown:
    """Open a season: its secret is drawn now, and its commitment is public at once."""
    opens, closes = (moment.isoformat(timespec="seconds") for moment in (asked.opens, asked.closes))
    if opens >= closes:
        raise Problem(409, "a season must close after it opens")
    try:
        Attempt(asked.suite, bytes(SECRET_BYTES), asked.name)  # whether it can be played at all
        made = seasons.open_season(desk.board, asked.name, asked.suite, opens, closes)
    except InputError as error:
        raise Problem(409, str(error)) from None
    return season_known(desk, made)


@routes.post(
    "/admin/submissions/{number}/invalidation", status_code=201, responses=WRITING | declared(404)
)
def invalidate(desk: Here, admin: Admin, number: Number, asked: Erratum) -> Corrected:
    """Record that a submission no longer counts; it stays where it is, marked."""
    for needed in (number, asked.replaced_by):
        if needed is not None and submission(desk.board, needed) is None:
            raise Problem(404, f"there is no submission {needed}")
    try:
        made = results.invalidate(desk.board, number, admin.name, asked.reason, asked.replaced_by)
    except InputError as error:
        raise Problem(409, str(error)) from None
    return _corrected(made)


@routes.get("/audit", responses=declared(401, 403, 422, 429, 500, 503))
def audit(
    desk: Here,
    admin: Admin,
    after: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Audit:
    """Everything that ever happened, oldest first, a page at a time."""
    wanted = select(Submission).where(Submission.id > after).order_by(Submission.id).limit(limit)
    with desk.board.session() as session:
        found = list(session.scalars(wanted))
        numbers = [one.id for one in found]
        told: dict[int, list[Told]] = {number: [] for number in numbers}
        events = select(Event).where(Event.submission_id.in_(numbers))
        for event in session.scalars(events.order_by(Event.submission_id, Event.seq)):
            entry = Told(at=event.at, state=event.state, message=event.message)
            told[event.submission_id].append(entry)
        errata = select(Invalidation).where(Invalidation.submission_id.in_(numbers))
        corrected = [_corrected(one) for one in session.scalars(errata.order_by(Invalidation.id))]
        issued = list(session.scalars(select(Token).order_by(Token.name)))
    return Audit(
        submissions=[
            Known(
                id=one.id,
                kind=one.kind,
                owner=one.owner,
                created=one.created,
                state=told[one.id][-1].state,
                about=one.about,
                events=told[one.id],
            )
            for one in found
        ],
        errata=corrected,
        tokens=[
            TokenKnown(name=t.name, scope=t.scope, created=t.created, revoked=t.revoked)
            for t in issued
        ],
        next=numbers[-1] if len(numbers) == limit else None,
    )


def _corrected(one: Invalidation) -> Corrected:
    return Corrected(
        submission=one.submission_id,
        at=one.at,
        by=one.by,
        reason=one.reason,
        replaced_by=one.replaced_by,
    )
