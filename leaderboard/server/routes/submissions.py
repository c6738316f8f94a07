"""Routes that upload an archive and follow a submission."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Body, Header, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ...archive import MAX_ARCHIVE_BYTES
from ...protocol import API
from ...store import submissions as store
from ...store.results import first_with_actions
from ...store.schema import Event, Result, Submission
from .. import uploads
from ..dependencies import CurrentToken, State, SubmissionId, check_owner
from ..problems import Problem, declared
from ..schemas import EventInfo, NewSubmission, Offset, SubmissionInfo, SubmissionStatus, Upload
from ..state import AppState

router = APIRouter(prefix=API, tags=["submissions"])
PIECE = "application/offset+octet-stream"


@router.post(
    "/submissions",
    status_code=201,
    responses=declared(400, 401, 408, 409, 413, 422, 429, 500, 503)
    | {200: {"model": Upload, "description": "It was announced before"}},
)
def announce(
    state: State, token: CurrentToken, archive: Annotated[NewSubmission, Body()], response: Response
) -> Upload:
    """Announce an archive, or ask for its next offset: the same archive is one submission."""
    key = f"{token.name}:{archive.sha256}"
    found, new = store.by_key(state.board, key), False
    if found is None:
        with state.opening_lock:
            _check_open_uploads(state, token.name)
            found, new = store.add_submission(
                state.board,
                kind="run",
                key=key,
                owner=token.name,
                about=archive.model_dump(),
                state=uploads.RECEIVING,
            )
    response.status_code = 201 if new else 200
    if found.about["size"] != archive.size:
        raise Problem(409, f"this archive was announced with {found.about['size']} bytes before")
    offset = uploads.next_offset(state.board, found)
    return Upload(id=found.id, offset=offset, state=store.latest_event(state.board, found.id).state)


@router.patch(
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
    state: State,
    token: CurrentToken,
    number: SubmissionId,
    upload_offset: Annotated[int, Header(ge=0, le=MAX_ARCHIVE_BYTES)],
    request: Request,
) -> Offset:
    """Send the next piece of an archive; the last one queues it for verification."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != PIECE:
        raise Problem(415, f"a piece of an archive must have the content type {PIECE}")
    try:
        piece = await request.body()
    except ClientDisconnect:
        raise Problem(400, "the connection ended within the piece") from None

    def append() -> Offset:
        submission = _find(state, number)
        check_owner(token, submission)
        if submission.kind != "run":
            raise Problem(409, "an attempt has no archive")
        return Offset(offset=uploads.append(state.board, submission, upload_offset, piece))

    return await run_in_threadpool(append)


@router.get("/submissions/{number}", responses=declared(404, 422, 429, 500, 503))
def follow(state: State, number: SubmissionId) -> SubmissionStatus:
    """A submission with all its events, oldest first."""
    found = _find(state, number)
    info = submission_info(found, store.history(state.board, number))
    return SubmissionStatus(
        **info.model_dump(),
        same_actions=_same_actions(state, number),
        attempt=found.key if found.kind == "attempt" else None,
    )


def submission_info(submission: Submission, events: Iterable[Event]) -> SubmissionInfo:
    """A submission as its owner, admins and the public see it."""
    shown = [EventInfo(at=one.at, state=one.state, message=one.message) for one in events]
    return SubmissionInfo(
        id=submission.id,
        kind=submission.kind,
        owner=submission.owner,
        created=submission.created,
        state=shown[-1].state,
        about=submission.about,
        events=shown,
    )


def _same_actions(state: AppState, number: int) -> int | None:
    with state.board.session() as session:
        result = session.get(Result, number)
    if result is None or result.track != "replayed":
        return None
    first = first_with_actions(state.board, result.actions_digest)
    return first if first != number else None


def _find(state: AppState, number: int) -> Submission:
    found = store.submission(state.board, number)
    if found is None:
        raise Problem(404, f"there is no submission {number}")
    return found


def _check_open_uploads(state: AppState, owner: str) -> None:
    limit, since = state.limits.open_uploads, state.time(-state.limits.stalled_seconds)
    if uploads.open_count(state.board, owner, "run", since) >= limit:
        what = f"{limit} archives of this token are being uploaded or wait for a verdict"
        raise Problem(429, f"{what}; finish one", headers={"Retry-After": "60"})
