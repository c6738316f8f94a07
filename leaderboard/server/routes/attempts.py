"""Routes of hidden-seed play: the server holds the world, the agent talks JSON.

Started is counted, an answer is final, and what follows an answer is a function of the attempt's
key and of the answers stored, so that neither a crash nor a second connection changes anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Response
from fastapi.responses import FileResponse

from ....errors import InputError
from ...archive import pack
from ...hidden.attempt import Attempt
from ...hidden.messages import WorldMessage, checked_turn, observation_message
from ...hidden.messages import world_message as world_in_full
from ...store import actions, seasons
from ...store import submissions as store
from ...store.database import ConflictError
from ...store.files import attempt_folder
from ...store.schema import Season, Submission
from ..attempt_cache import attempt_id, drawn
from ..dependencies import Desk, Here, Submitter, check_owner
from ..problems import Problem, declared
from ..schemas import Answer, Entrant, Finished, Followed, LifeOf, LifeStanding, Standing, WorldOf
from ..uploads import QUEUED, open_count

routes = APIRouter(prefix="/api/v1", tags=["hidden-seed play"])
PLAYING = "playing"
READING = declared(401, 403, 404, 422, 429, 500, 503)
INSIDE = READING | declared(409, 410)
Count = Annotated[int, Path(ge=0, le=10**6)]
Spelled = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


@routes.post(
    "/attempts",
    status_code=201,
    responses=declared(400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503)
    | {200: {"model": Standing, "description": "It was started before"}},
)
def start(
    desk: Here,
    token: Submitter,
    entrant: Entrant,
    idempotency_key: Annotated[str, Header(pattern="^[A-Za-z0-9._:-]{8,128}$")],
    response: Response,
) -> Standing:
    """Start an attempt, which then counts; the same key and body lead to the same attempt."""
    season = seasons.season(desk.board, entrant.season)
    if season is None:
        raise Problem(404, f"there is no season {entrant.season!r}")
    key = attempt_id(desk.board, season.name, token.name, idempotency_key)
    about = entrant.model_dump()
    found, new = store.by_key(desk.board, key), False
    if found is None:
        with desk.opening:
            about |= _opening(desk, season, token.name)
            try:
                drawn(desk.board, season.name, key, entrant.only_language_models)
            except InputError as error:
                raise Problem(409, str(error)) from None
            found, new = store.add_submission(
                desk.board,
                kind="attempt",
                key=key,
                owner=token.name,
                about=about,
                state=PLAYING,
                message=f"in season {season.name}",
            )
    if any(found.about[name] != value for name, value in entrant.model_dump().items()):
        raise Problem(409, "this Idempotency-Key has started another attempt; choose a new one")
    response.status_code = 201 if new else 200
    return _standing(desk, found)


def _opening(desk: Desk, season: Season, owner: str) -> dict[str, str]:
    """What a new attempt is told; raises Problem where none may start."""
    limits, now = desk.limits, desk.now()
    if not season.opens <= now < season.closes:
        raise Problem(409, f"season {season.name} is open from {season.opens} to {season.closes}")
    if open_count(desk.board, owner, "attempt", "") >= limits.open_attempts:
        what = f"{limits.open_attempts} attempts of this token are under way; wait for a verdict"
        raise Problem(429, what, headers={"Retry-After": "60"})
    deadline = min(season.closes, desk.now(limits.attempt_seconds))
    return {"deadline": deadline, "commitment": season.commitment}


def _attempt(desk: Desk, attempt: str) -> Submission:
    found = store.by_key(desk.board, attempt)
    if found is None or found.kind != "attempt":
        raise Problem(404, "there is no such attempt")
    return found


def _mine(desk: Here, token: Submitter, attempt: Spelled) -> Submission:
    found = _attempt(desk, attempt)
    check_owner(token, found)
    return found


Mine = Annotated[Submission, Depends(_mine)]


def _under_way(desk: Here, mine: Mine) -> Submission:
    """An attempt that takes answers; raises Problem 410 after its deadline, 409 after its end."""
    last = store.latest_event(desk.board, mine.id)
    if desk.now() >= mine.about["deadline"]:
        conclude(desk, mine, "the deadline has passed")
        raise Problem(410, f"the deadline was {mine.about['deadline']}")
    if last.state != PLAYING:
        raise Problem(409, f"this attempt is over; it is {last.state}")
    return mine


UnderWay = Annotated[Submission, Depends(_under_way)]


@routes.get("/attempts/{attempt}", responses=READING)
def standing(desk: Here, mine: Mine) -> Standing:
    """Where an attempt stands: what a player resumes from."""
    return _standing(desk, mine)


@routes.get(
    "/attempts/{attempt}/worlds/{world}",
    responses=INSIDE | {200: {"model": WorldMessage}},
)
def world(desk: Here, mine: UnderWay, world: Count) -> Response:
    """What an agent may study of a world: its catalog and its training log."""
    attempt = _with_world(desk, mine, world)
    text = json.dumps(world_in_full(attempt.public(world)), allow_nan=False)
    return Response(text, media_type="application/json")


@routes.get(
    "/attempts/{attempt}/worlds/{world}/posters/{item}.png",
    response_class=Response,
    responses=INSIDE | {200: {"content": {"image/png": {}}}},
)
def poster(desk: Here, mine: UnderWay, world: Count, item: Count) -> Response:
    """The picture of an item."""
    attempt = _with_world(desk, mine, world)
    if item >= len(attempt.public(world).catalog.posters):
        raise Problem(404, f"there is no item {item} in world {world}")
    return Response(attempt.poster(world, item), media_type="image/png")


@routes.get("/attempts/{attempt}/lives/{life}", responses=INSIDE)
def life(desk: Here, mine: UnderWay, life: Count) -> LifeStanding:
    """Where a life stands, from its beginning."""
    attempt = _with_life(desk, mine, life)
    return LifeStanding(
        **attempt.standing(life, actions.actions_of_episode(desk.board, mine.id, life))
    )


@routes.put(
    "/attempts/{attempt}/lives/{life}/turns/{turn}",
    responses=INSIDE | declared(400, 408, 413),
)
def play(desk: Here, mine: UnderWay, life: Count, turn: Count, answer: Answer) -> Followed:
    """Answer a turn. The first answer counts: the same one again gets the same reply."""
    attempt = _with_life(desk, mine, life)
    given = checked_turn(answer.model_dump())
    before = actions.actions_of_episode(desk.board, mine.id, life)
    if turn > len(before):
        raise Problem(409, f"turn {len(before)} of life {life} comes first")
    if turn < len(before):
        stored = before[turn]
    elif attempt.observe(life, before) is None:
        raise Problem(409, f"life {life} was over after {turn} turns")
    else:
        stored, _ = actions.store_action(desk.board, mine.id, life, turn, given)
    if _acts(stored) != _acts(given):
        raise Problem(409, f"turn {turn} of life {life} was answered otherwise, which is final")
    follows = attempt.observe(life, [*before[:turn], stored])
    return Followed.model_validate({"observation": observation_message(follows)})


@routes.get(
    "/attempts/{attempt}/run",
    response_class=FileResponse,
    responses=declared(404, 409, 422, 429, 500, 503)
    | {200: {"content": {"application/gzip": {}}, "description": "An archive like any run's"}},
)
def run(desk: Here, attempt: Spelled) -> FileResponse:
    """The whole run of an attempt, once its season has closed: with the season's secret, anybody
    can live it again and compare every bit.
    """
    found = _attempt(desk, attempt)
    closes = seasons.closing_time(desk.board, found.about["season"])
    if desk.now() < closes:
        raise Problem(409, f"runs of this season are published when it closes, at {closes}")
    folder = attempt_folder(desk.board, found.id)
    file = folder.with_name(f"{found.id}.tar.gz")
    if not file.exists():
        try:
            pack(folder, file)
        except InputError:
            raise Problem(409, "this attempt has not been scored yet; ask again later") from None
    return FileResponse(file, media_type="application/gzip", filename=f"{attempt}.tar.gz")


@routes.post("/attempts/{attempt}/finish", responses=READING)
def finish(desk: Here, mine: Mine) -> Finished:
    """End an attempt; turns that were not answered count as abstentions."""
    conclude(desk, mine, "finished by its player")
    state = store.latest_event(desk.board, mine.id).state
    return Finished(attempt=mine.key, submission=mine.id, state=state)


def conclude(desk: Desk, submission: Submission, why: str) -> None:
    """Queue an attempt for its score, unless that was done before."""
    last = store.latest_event(desk.board, submission.id)
    if last.state == PLAYING:
        try:
            store.add_event(desk.board, submission.id, QUEUED, why, after=last.seq)
        except ConflictError:
            return


def conclude_overdue(desk: Desk) -> None:
    """Queue every attempt whose deadline has passed while nobody asked."""
    now = desk.now()
    for submission, _ in store.latest_events(desk.board, "attempt", PLAYING):
        if submission.about["deadline"] <= now:
            conclude(desk, submission, "the deadline has passed")


def _standing(desk: Desk, submission: Submission) -> Standing:
    attempt, about = desk.plays.of(submission), submission.about
    given = actions.actions_of_attempt(desk.board, submission.id)
    return Standing(
        attempt=submission.key,
        submission=submission.id,
        season=about["season"],
        commitment=about["commitment"],
        deadline=about["deadline"],
        state=store.latest_event(desk.board, submission.id).state,
        worlds=[WorldOf(world=k, task=task.name) for k, task in enumerate(attempt.worlds)],
        lives=[
            LifeOf(life=k, world=w, turn=len(given.get(k, ()))) for k, w in enumerate(attempt.lives)
        ],
    )


def _with_world(desk: Desk, mine: Submission, world: int) -> Attempt:
    attempt = desk.plays.of(mine)
    if world >= len(attempt.worlds):
        raise Problem(404, f"there is no world {world}")
    return attempt


def _with_life(desk: Desk, mine: Submission, life: int) -> Attempt:
    attempt = desk.plays.of(mine)
    if life >= len(attempt.lives):
        raise Problem(404, f"there is no life {life}")
    return attempt


def _acts(turn: dict[str, Any]) -> Sequence[Any]:
    """What an answer does, without how long it took; as JSON has it."""
    return [json.dumps(turn[name]) for name in ("slate", "claims", "profile", "fault")]
