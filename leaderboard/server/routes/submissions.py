"""Routes by which a run comes to the board, and by which everybody follows what becomes of it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ...archive import MAX_ARCHIVE_BYTES
from ...store import submissions as store
from ...store.results import first_with_actions
from ...store.schema import Result, Submission
from .. import uploads
from ..dependencies import LARGEST_ID, Desk, Here, Submitter, check_owner
from ..problems import Problem, declared
from ..request_bodies import WHOLE, Strict

routes = APIRouter(prefix="/api/v1", tags=["submissions"])
PIECE = "application/offset+octet-stream"
Number = Annotated[int, Path(ge=1, le=LARGEST_ID, description="number of the submission")]


class Announced(Strict):
    """An archive that is about to come."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the whole archive")
    size: Annotated[int, Field(ge=1, le=MAX_ARCHIVE_BYTES, description="bytes"), WHOLE]


class Upload(BaseModel):
    """How far an archive has come: `offset` is the number of its next byte."""

    id: int
    offset: int
    state: str


class Offset(BaseModel):
    """The number of an archive's next byte."""

    offset: int


class Told(BaseModel):
    """One thing that happened to a submission."""

    at: str
    state: str
    message: str


class Known(BaseModel):
    """What everybody may know of a submission."""

    id: int
    kind: str
    owner: str
    created: str
    state: str
    about: dict[str, Any]
    events: list[Told]


class Judged(Known):
    """The same, and the number of the earliest run whose agent showed the same slates, if any.

    attempt  the id of play on hidden seeds, by which its run is published; null for runs
    """

    same_actions: int | None
    attempt: str | None


@routes.post(
    "/submissions",
    status_code=201,
    responses=declared(400, 401, 408, 409, 413, 422, 429, 500, 503)
    | {200: {"model": Upload, "description": "It was announced before"}},
)
def announce(
    desk: Here, token: Submitter, archive: Annotated[Announced, Body()], response: Response
) -> Upload:
    """Announce an archive, or ask how far it has come: the same archive is one submission."""
    key = f"{token.name}:{archive.sha256}"
    found = store.by_key(desk.board, key)
    if found is None:
        with desk.opening:
            _check_open(desk, token.name)
            found, new = store.add_submission(
                desk.board,
                kind="run",
                key=key,
                owner=token.name,
                about=archive.model_dump(),
                state=uploads.RECEIVING,
            )
        response.status_code = 201 if new else 200
    else:
        response.status_code = 200
    if found.about["size"] != archive.size:
        raise Problem(409, f"this archive was announced with {found.about['size']} bytes before")
    offset = uploads.arrived(desk.board, found)
    return Upload(id=found.id, offset=offset, state=state_of(desk, found))


@routes.patch(
    "/submissions/{number}/archive",
    responses=declared(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {PIECE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload(
    desk: Here,
    token: Submitter,
    number: Number,
    upload_offset: Annotated[int, Header(ge=0, le=MAX_ARCHIVE_BYTES)],
    request: Request,
) -> Offset:
    """Send the next piece of an archive; the last one queues it for verification."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != PIECE:
        raise Problem(415, f"a piece of an archive is sent as {PIECE}")
    try:
        piece = await request.body()
    except ClientDisconnect:
        raise Problem(400, "the connection ended within the piece") from None

    def keep() -> Offset:
        submission = _find(desk, number)
        check_owner(token, submission)
        if submission.kind != "run":
            raise Problem(409, "an attempt has no archive")
        return Offset(offset=uploads.append(desk.board, submission, upload_offset, piece))

    return await run_in_threadpool(keep)


@routes.get("/submissions/{number}", responses=declared(404, 422, 429, 500, 503))
def follow(desk: Here, number: Number) -> Judged:
    """What a submission is, and all that has happened to it, oldest first."""
    found = _find(desk, number)
    events = [
        Told(at=event.at, state=event.state, message=event.message)
        for event in store.history(desk.board, number)
    ]
    return Judged(
        id=found.id,
        kind=found.kind,
        owner=found.owner,
        created=found.created,
        state=events[-1].state,
        about=found.about,
        events=events,
        same_actions=_earlier(desk, number),
        attempt=found.key if found.kind == "attempt" else None,
    )


def state_of(desk: Desk, submission: Submission) -> str:
    """The state that the last event of a submission left it in."""
    return store.latest_event(desk.board, submission.id).state


def _earlier(desk: Desk, number: int) -> int | None:
    with desk.board.session() as session:
        result = session.get(Result, number)
    if result is None or result.track != "replayed":
        return None
    first = first_with_actions(desk.board, result.actions_digest)
    return first if first != number else None


def _find(desk: Desk, number: int) -> Submission:
    found = store.submission(desk.board, number)
    if found is None:
        raise Problem(404, f"there is no submission {number}")
    return found


def _check_open(desk: Desk, owner: str) -> None:
    most, since = desk.limits.open_uploads, desk.now(-desk.limits.stalled_seconds)
    if uploads.open_count(desk.board, owner, "run", since) >= most:
        what = f"{most} archives of this token are on their way or wait for a verdict; finish one"
        raise Problem(429, what, headers={"Retry-After": "60"})
