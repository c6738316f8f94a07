"""Routes of hidden-seed play: the server runs the environments, the agent answers over HTTP.

A started attempt counts and an answer is final. What follows an answer is a function of the
attempt's key and of the stored answers, so neither a crash nor a second connection changes it.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Response
from fastapi.responses import FileResponse

from ....errors import InputError
from ...archive import pack
from ...hidden.attempt import Attempt
from ...hidden.messages import Answer, TaskDataMessage, observation_message, task_data_message
from ...protocol import API
from ...store import actions, seasons
from ...store import submissions as store
from ...store.database import ConflictError
from ...store.files import attempt_folder
from ...store.schema import Season, Submission
from ..attempt_cache import attempt_id, build_attempt
from ..dependencies import CurrentToken, State, check_owner
from ..problems import Problem, declared
from ..schemas import (
    AttemptStatus,
    EpisodeInfo,
    EpisodeStatus,
    FinishedAttempt,
    NewAttempt,
    NextObservation,
    TaskInfo,
)
from ..state import AppState
from ..uploads import QUEUED, open_count

router = APIRouter(prefix=API, tags=["hidden-seed play"])
PLAYING = "playing"
READ_PROBLEMS = declared(401, 403, 404, 422, 429, 500, 503)
PLAY_PROBLEMS = READ_PROBLEMS | declared(409, 410)
Index = Annotated[int, Path(ge=0, le=10**6)]
AttemptId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


def own_attempt(state: State, token: CurrentToken, attempt: AttemptId) -> Submission:
    """The attempt of this path; raises Problem 404, or 403 where it belongs to another token."""
    found = _find(state, attempt)
    check_owner(token, found)
    return found


OwnAttempt = Annotated[Submission, Depends(own_attempt)]


def running_attempt(state: State, submission: OwnAttempt) -> Submission:
    """An attempt that accepts answers; raises Problem 410 after its deadline, 409 after its end."""
    last = store.latest_event(state.board, submission.id)
    if state.time() >= submission.about["deadline"]:
        conclude(state, submission, "the deadline has passed")
        raise Problem(410, f"the deadline was {submission.about['deadline']}")
    if last.state != PLAYING:
        raise Problem(409, f"this attempt is over; it is {last.state}")
    return submission


RunningAttempt = Annotated[Submission, Depends(running_attempt)]


@router.post(
    "/attempts",
    status_code=201,
    responses=declared(400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503)
    | {200: {"model": AttemptStatus, "description": "It was started before"}},
)
def start(
    state: State,
    token: CurrentToken,
    request: NewAttempt,
    idempotency_key: Annotated[str, Header(pattern="^[A-Za-z0-9._:-]{8,128}$")],
    response: Response,
) -> AttemptStatus:
    """Start an attempt, which then counts; the same key and body lead to the same attempt."""
    season = seasons.season(state.board, request.season)
    if season is None:
        raise Problem(404, f"there is no season {request.season!r}")
    key = attempt_id(state.board, season.name, token.name, idempotency_key)
    found, new = store.by_key(state.board, key), False
    if found is None:
        with state.opening_lock:
            found, new = _open(state, season, token.name, key, request)
    if any(found.about[name] != value for name, value in request.model_dump().items()):
        raise Problem(409, "this Idempotency-Key has started another attempt; choose a new one")
    response.status_code = 201 if new else 200
    return _status(state, found)


@router.get("/attempts/{attempt}", responses=READ_PROBLEMS)
def status(state: State, submission: OwnAttempt) -> AttemptStatus:
    """An attempt and its progress: what a client resumes from."""
    return _status(state, submission)


@router.get(
    "/attempts/{attempt}/tasks/{task}", responses=PLAY_PROBLEMS | {200: {"model": TaskDataMessage}}
)
def task_data(state: State, submission: RunningAttempt, task: Index) -> Response:
    """The public data of a task: its catalog and its training log."""
    attempt = _with_task(state, submission, task)
    text = json.dumps(task_data_message(attempt.public(task)), allow_nan=False)
    return Response(text, media_type="application/json")


@router.get(
    "/attempts/{attempt}/tasks/{task}/posters/{item}.png",
    response_class=Response,
    responses=PLAY_PROBLEMS | {200: {"content": {"image/png": {}}}},
)
def poster(state: State, submission: RunningAttempt, task: Index, item: Index) -> Response:
    """The poster of an item."""
    attempt = _with_task(state, submission, task)
    if item >= len(attempt.public(task).catalog.posters):
        raise Problem(404, f"there is no item {item} in task {task}")
    return Response(attempt.poster(task, item), media_type="image/png")


@router.get("/attempts/{attempt}/episodes/{episode}", responses=PLAY_PROBLEMS)
def episode_status(state: State, submission: RunningAttempt, episode: Index) -> EpisodeStatus:
    """An episode and its progress, from its beginning."""
    attempt = _with_episode(state, submission, episode)
    stored = actions.actions_of_episode(state.board, submission.id, episode)
    return EpisodeStatus(**attempt.episode_message(episode, stored))


@router.put(
    "/attempts/{attempt}/episodes/{episode}/turns/{turn}",
    responses=PLAY_PROBLEMS | declared(400, 408, 413),
)
def answer(
    state: State, submission: RunningAttempt, episode: Index, turn: Index, answer: Answer
) -> NextObservation:
    """Answer a turn. The first answer counts; sent again, it gets the same response."""
    attempt = _with_episode(state, submission, episode)
    given = answer.stored()
    before = actions.actions_of_episode(state.board, submission.id, episode)
    if turn > len(before):
        raise Problem(409, f"turn {len(before)} of episode {episode} comes first")
    if turn < len(before):
        counted = before[turn]
    elif attempt.observe(episode, before) is None:
        raise Problem(409, f"episode {episode} was over after {turn} turns")
    else:
        counted, _ = actions.store_action(state.board, submission.id, episode, turn, given)
    if _without_seconds(counted) != _without_seconds(given):
        raise Problem(
            409, f"turn {turn} of episode {episode} has another answer already, which is final"
        )
    follows = attempt.observe(episode, [*before[:turn], counted])
    return NextObservation.model_validate({"observation": observation_message(follows)})


@router.get(
    "/attempts/{attempt}/run",
    response_class=FileResponse,
    responses=declared(404, 409, 422, 429, 500, 503)
    | {200: {"content": {"application/gzip": {}}, "description": "An archive like any run's"}},
)
def run(state: State, attempt: AttemptId) -> FileResponse:
    """The whole run of an attempt, once its season has closed; with the season's secret, anybody
    can replay it and compare every bit.
    """
    found = _find(state, attempt)
    closes = seasons.closing_time(state.board, found.about["season"])
    if state.time() < closes:
        raise Problem(409, f"runs of this season are published when it closes, at {closes}")
    folder = attempt_folder(state.board, found.id)
    file = folder.with_name(f"{found.id}.tar.gz")
    if not file.exists():
        try:
            pack(folder, file)
        except InputError:
            raise Problem(409, "this attempt has not been scored yet; ask again later") from None
    return FileResponse(file, media_type="application/gzip", filename=f"{attempt}.tar.gz")


@router.post("/attempts/{attempt}/finish", responses=READ_PROBLEMS)
def finish(state: State, submission: OwnAttempt) -> FinishedAttempt:
    """End an attempt; turns that were not answered count as abstentions."""
    conclude(state, submission, "finished by its client")
    last = store.latest_event(state.board, submission.id)
    return FinishedAttempt(attempt=submission.key, submission=submission.id, state=last.state)


def conclude(state: AppState, submission: Submission, why: str) -> None:
    """Queue an attempt to be scored, unless that was done before."""
    last = store.latest_event(state.board, submission.id)
    if last.state == PLAYING:
        try:
            store.add_event(state.board, submission.id, QUEUED, why, after=last.seq)
        except ConflictError:
            return


def conclude_overdue(state: AppState) -> None:
    """Queue every attempt whose deadline has passed without a request."""
    now = state.time()
    for submission, _ in store.latest_events(state.board, "attempt", PLAYING):
        if submission.about["deadline"] <= now:
            conclude(state, submission, "the deadline has passed")


def _open(
    state: AppState, season: Season, owner: str, key: str, request: NewAttempt
) -> tuple[Submission, bool]:
    """Record a new attempt; raises Problem where none may start. Needs the opening lock."""
    if not season.opens <= state.time() < season.closes:
        raise Problem(409, f"season {season.name} is open from {season.opens} to {season.closes}")
    limit = state.limits.open_attempts
    if open_count(state.board, owner, "attempt", "") >= limit:
        what = f"{limit} attempts of this token are running; wait for a verdict"
        raise Problem(429, what, headers={"Retry-After": "60"})
    only = request.only_language_models
    try:
        build_attempt(state.board, season.name, key, only_language_models=only)
    except InputError as error:
        raise Problem(409, str(error)) from None
    deadline = min(season.closes, state.time(state.limits.attempt_seconds))
    about = {**request.model_dump(), "deadline": deadline, "commitment": season.commitment}
    return store.add_submission(
        state.board,
        kind="attempt",
        key=key,
        owner=owner,
        about=about,
        state=PLAYING,
        message=f"in season {season.name}",
    )


def _find(state: AppState, attempt: str) -> Submission:
    found = store.by_key(state.board, attempt)
    if found is None or found.kind != "attempt":
        raise Problem(404, "there is no such attempt")
    return found


def _status(state: AppState, submission: Submission) -> AttemptStatus:
    attempt, about = state.attempts.of(submission), submission.about
    answers = actions.actions_of_attempt(state.board, submission.id)
    return AttemptStatus(
        attempt=submission.key,
        submission=submission.id,
        season=about["season"],
        commitment=about["commitment"],
        deadline=about["deadline"],
        state=store.latest_event(state.board, submission.id).state,
        tasks=[TaskInfo(task=k, name=task.name) for k, task in enumerate(attempt.tasks)],
        episodes=[
            EpisodeInfo(episode=k, task=task, turn=len(answers.get(k, ())))
            for k, task in enumerate(attempt.episode_tasks)
        ],
    )


def _with_task(state: AppState, submission: Submission, task: int) -> Attempt:
    attempt = state.attempts.of(submission)
    if task >= len(attempt.tasks):
        raise Problem(404, f"there is no task {task}")
    return attempt


def _with_episode(state: AppState, submission: Submission, episode: int) -> Attempt:
    attempt = state.attempts.of(submission)
    if episode >= len(attempt.episode_tasks):
        raise Problem(404, f"there is no episode {episode}")
    return attempt


def _without_seconds(answer: dict[str, Any]) -> list[str]:
    """What an answer does, in spelling that compares equal for equal JSON."""
    return [json.dumps(answer[name]) for name in ("slate", "claims", "profile", "fault")]
