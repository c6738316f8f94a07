"""Request and response bodies of the API, beside those that client and server share."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field

from ...records import Brief, Observation
from ...suites.suite import NAME
from ..archive import MAX_ARCHIVE_BYTES
from ..protocol import INTEGRAL, SINGLE_LINE, StrictModel
from ..store.files import NAME as PLAIN_NAME
from ..verification.strict_json import DECODER

CONFIG_BYTES = 16 * 1024
LARGEST_ID = 2**31 - 1
PRINTABLE_ASCII = "^[ -~]*$"
PLAIN_NAME_PATTERN = f"^{PLAIN_NAME}$"


def _storable(config: dict[str, Any]) -> dict[str, Any]:
    """The JSON value itself; raises ValueError for one that a manifest cannot hold."""
    try:
        text = json.dumps(config, allow_nan=False, ensure_ascii=False)
        DECODER.decode(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if len(text.encode()) > CONFIG_BYTES:
        raise ValueError(f"has more than {CONFIG_BYTES} bytes")
    if "\\u0000" in text:
        raise ValueError("holds the character 0")
    return config


def _utc_time(value: Any) -> datetime:
    """A time in RFC 3339, to the second; ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError("must be a text such as 2030-01-31T00:00:00Z")
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError("needs a time zone, such as Z")
    try:
        return time.astimezone(UTC).replace(microsecond=0)
    except OverflowError:
        raise ValueError("is out of range") from None


Time = Annotated[AwareDatetime, BeforeValidator(_utc_time)]


class NewSubmission(StrictModel):
    """An archive to be uploaded."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the whole archive")
    size: Annotated[int, Field(ge=1, le=MAX_ARCHIVE_BYTES, description="bytes"), INTEGRAL]


class Upload(BaseModel):
    """Progress of an upload: `offset` is the index of the next byte."""

    id: int
    offset: int
    state: str


class Offset(BaseModel):
    """The index of an archive's next byte."""

    offset: int


class EventInfo(BaseModel):
    """One event of a submission."""

    at: str
    state: str
    message: str


class SubmissionInfo(BaseModel):
    """A submission with all its events, oldest first."""

    id: int
    kind: str
    owner: str
    created: str
    state: str
    about: dict[str, Any]
    events: list[EventInfo]


class SubmissionStatus(SubmissionInfo):
    """A submission as its own page shows it.

    same_actions  id of the earliest run whose agent showed the same slates, if any
    attempt       id of the attempt whose run is published; null for uploaded runs
    """

    same_actions: int | None
    attempt: str | None


class NewAttempt(StrictModel):
    """What an attempt declares before it sees any data; shown on the board.

    simulator_trained     whether the agent was trained on this simulator
    hardware              a class, such as "cpu-2" or "h100"; times compare within one only
    only_language_models  play only the tasks that are made for agents with a language model
    """

    season: str = Field(pattern=PLAIN_NAME_PATTERN)
    agent: str = Field(max_length=100, pattern=f"^{NAME}$")
    agent_config: Annotated[dict[str, Any], AfterValidator(_storable)] = Field(
        description=f"JSON values, at most {CONFIG_BYTES} bytes in all"
    )
    decoder: str = Field(default="", max_length=100, pattern=f"^({NAME})?$")
    pair: str = Field(default="", max_length=200, pattern=PRINTABLE_ASCII)
    simulator_trained: bool
    hardware: str = Field(max_length=100, pattern=PRINTABLE_ASCII)
    only_language_models: bool = False


class TaskInfo(BaseModel):
    """A task of an attempt: its index and its name."""

    task: int
    name: str


class EpisodeInfo(BaseModel):
    """An episode of an attempt: its index, its task, and the number of turns answered."""

    episode: int
    task: int
    turn: int


class AttemptStatus(BaseModel):
    """An attempt and its progress; no answer is accepted from `deadline` on."""

    attempt: str
    submission: int
    season: str
    commitment: str
    deadline: str
    state: str
    tasks: list[TaskInfo]
    episodes: list[EpisodeInfo]


class EpisodeStatus(BaseModel):
    """An episode and its progress.

    turn         index of the next answer
    history      the observation before each answer given
    observation  the current one; null once the episode is over
    """

    turn: int
    brief: Brief
    history: list[Observation]
    observation: Observation | None


class NextObservation(BaseModel):
    """What follows an answer; null where the episode is over."""

    observation: Observation | None


class FinishedAttempt(BaseModel):
    """An attempt that accepts no more answers."""

    attempt: str
    submission: int
    state: str


class SuiteInfo(BaseModel):
    """A suite whose runs this server can verify."""

    id: str
    summary: str
    tasks: list[str]
    seeds: int
    track: str


class NewSeason(StrictModel):
    """A season of hidden-seed play."""

    name: str = Field(pattern=PLAIN_NAME_PATTERN)
    suite: str = Field(pattern=r"^[A-Za-z0-9@+=._-]{1,120}$")
    opens: Time
    closes: Time


class SeasonInfo(BaseModel):
    """A season of hidden-seed play; `secret` (hexadecimal) is null until it has closed."""

    name: str
    suite: str
    opens: str
    closes: str
    commitment: str
    secret: str | None


class NewToken(StrictModel):
    """A token to be issued: scope submit to submit and play, admin for everything."""

    name: str = Field(pattern=PLAIN_NAME_PATTERN)
    scope: Literal["submit", "admin"]


class IssuedToken(BaseModel):
    """A token, shown once and stored nowhere."""

    name: str
    scope: str
    token: str


class TokenInfo(BaseModel):
    """A token without its secret part."""

    name: str
    scope: str
    created: str
    revoked: str | None


class NewInvalidation(StrictModel):
    """Why a submission no longer counts, and which one replaces it."""

    reason: str = Field(min_length=1, max_length=500, pattern=SINGLE_LINE)
    replaced_by: Annotated[int, Field(ge=1, le=LARGEST_ID), INTEGRAL] | None = None


class InvalidationInfo(BaseModel):
    """An invalidation as it was recorded."""

    submission: int
    at: str
    by: str
    reason: str
    replaced_by: int | None


class AuditPage(BaseModel):
    """Submissions after an id with all their events and invalidations, and all tokens.

    next  value of `after` for the next page; null on the last one
    """

    submissions: list[SubmissionInfo]
    invalidations: list[InvalidationInfo]
    tokens: list[TokenInfo]
    next: int | None
