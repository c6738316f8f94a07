"""The tables of a board. All but leases and tokens are append-only, enforced by triggers.

Times are UTC, ISO 8601 with seconds. Everything sent to a board is a `Submission` with a list of
`Event`s; its state is the state of the last one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DDL, JSON, ForeignKey, MetaData, Table, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = Any

BOARD_VERSION = 2
"""Version of the tables; goes up whenever a table or column changes."""

FINAL = ("accepted", "refused")
FOLLOWS = {
    "": {"receiving", "playing", "queued"},
    "receiving": {"receiving", "queued", "refused"},
    "playing": {"playing", "queued", "refused"},
    "queued": {"working", "refused"},
    "working": {"working", *FINAL},
    "refused": {"queued"},
}
"""State -> possible next states; "" is the state before the first event, and "accepted" has none.
A refused submission is queued again only by an administrator (`retry`)."""


def utc_now() -> str:
    """Return the current time in the format of the tables."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Base(DeclarativeBase):
    """Base class of all tables of a board."""


class BoardVersion(Base):
    """The version of the tables, in one row; see `BOARD_VERSION`."""

    __tablename__ = "board_version"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Submission(Base):
    """A run to replay, or an attempt on hidden seeds.

    key    idempotency key: `<owner>:<SHA-256>` of a run's archive, or 32 random hexadecimal digits
           of an attempt
    kind   run or attempt
    owner  name of the token that sent it
    about  what the submitter declared; never results
    """

    __tablename__ = "submissions"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(index=True)
    owner: Mapped[str] = mapped_column(index=True)
    created: Mapped[str]
    about: Mapped[Json] = mapped_column(JSON)


class Event(Base):
    """A change of a submission's state, numbered by `seq` from 0; message is one line."""

    __tablename__ = "events"

    submission_id: Mapped[int] = mapped_column(ForeignKey("submissions.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[str]
    state: Mapped[str]
    message: Mapped[str]


class Result(Base):
    """The result of an accepted submission.

    privileged      whether the agent received the ground truth; then it is never ranked
    identity_hash   of the manifest
    actions_digest  equal for agents with the same slates
    tasks           every task of the suite, in order
    trust           metric -> trust level
    scores          rows of scores.json; timed, overall: likewise (see `VerifiedRun`)
    sums            metric -> [[numerator, denominator], …], one pair per cluster, over all tasks
    track           replayed, or hidden-seed
    """

    __tablename__ = "results"

    submission_id: Mapped[int] = mapped_column(ForeignKey("submissions.id"), primary_key=True)
    suite: Mapped[str] = mapped_column(index=True)
    suite_hash: Mapped[str]
    simulator_version: Mapped[str]
    agent: Mapped[str]
    decoder: Mapped[str]
    pair: Mapped[str]
    privileged: Mapped[bool]
    identity_hash: Mapped[str] = mapped_column(index=True)
    actions_digest: Mapped[str] = mapped_column(index=True)
    track: Mapped[str]
    tasks: Mapped[Json] = mapped_column(JSON)
    trust: Mapped[Json] = mapped_column(JSON)
    manifest: Mapped[Json] = mapped_column(JSON)
    scores: Mapped[Json] = mapped_column(JSON)
    timed: Mapped[Json] = mapped_column(JSON)
    overall: Mapped[Json] = mapped_column(JSON)
    sums: Mapped[Json] = mapped_column(JSON)


class AttemptAction(Base):
    """An agent's action in one turn of an attempt; final once stored.

    episode, turn  indices from 0
    """

    __tablename__ = "actions"

    submission_id: Mapped[int] = mapped_column(ForeignKey("submissions.id"), primary_key=True)
    episode: Mapped[int] = mapped_column(primary_key=True)
    turn: Mapped[int] = mapped_column(primary_key=True)
    action: Mapped[Json] = mapped_column(JSON)
    at: Mapped[str]


class Season(Base):
    """A period in which attempts at one suite draw catalogs and seeds from one secret.

    commitment  to the secret, published before the first attempt; the secret is in a file
    """

    __tablename__ = "seasons"

    name: Mapped[str] = mapped_column(primary_key=True)
    suite: Mapped[str]
    opens: Mapped[str]
    closes: Mapped[str]
    commitment: Mapped[str]


class Invalidation(Base):
    """A record that a result no longer counts, and which submission replaces it, if any."""

    __tablename__ = "invalidations"

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submissions.id"), index=True)
    at: Mapped[str]
    by: Mapped[str]
    reason: Mapped[str]
    replaced_by: Mapped[int | None] = mapped_column(ForeignKey("submissions.id"))


class Lease(Base):
    """A submission in the verification queue, from "queued" to the verdict.

    worker    name of the worker that holds it, or ""
    expires   seconds since the epoch; from then on any worker may take it
    attempts  number of times it was taken
    """

    __tablename__ = "leases"

    submission_id: Mapped[int] = mapped_column(ForeignKey("submissions.id"), primary_key=True)
    worker: Mapped[str]
    expires: Mapped[float] = mapped_column(index=True)
    attempts: Mapped[int]


class Token(Base):
    """An access token, stored as SHA-256 only; `revoked` is the time of its revocation."""

    __tablename__ = "tokens"

    name: Mapped[str] = mapped_column(primary_key=True)
    hash: Mapped[str]
    scope: Mapped[str]
    created: Mapped[str]
    revoked: Mapped[str | None]


APPEND_ONLY = (BoardVersion, Submission, Event, Result, AttemptAction, Season, Invalidation)
CHANGEABLE = (Lease, Token)

POSTGRES_FUNCTION = """
CREATE OR REPLACE FUNCTION reject_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%% is append-only', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$
"""
POSTGRES_TRIGGER = """
CREATE TRIGGER reject_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON %(table)s
FOR EACH STATEMENT EXECUTE FUNCTION reject_changes()
"""
SQLITE_TRIGGER = """
CREATE TRIGGER %(table)s_no_{verb} BEFORE {verb} ON %(table)s
BEGIN SELECT RAISE(ABORT, '%(table)s is append-only'); END
"""


def _add_ddl(target: Table | MetaData, event_name: str, statement: str, dialect: str) -> None:
    ddl = DDL(statement)  # type: ignore[no-untyped-call]
    event.listen(target, event_name, ddl.execute_if(dialect=dialect))


def _make_append_only(table: Table) -> None:
    """Install triggers that reject every update and deletion of rows of `table`."""
    _add_ddl(table, "after_create", POSTGRES_TRIGGER, "postgresql")
    for verb in ("UPDATE", "DELETE"):
        _add_ddl(table, "after_create", SQLITE_TRIGGER.format(verb=verb), "sqlite")


_add_ddl(Base.metadata, "before_create", POSTGRES_FUNCTION, "postgresql")
for _mapped in APPEND_ONLY:
    _make_append_only(Base.metadata.tables[_mapped.__tablename__])
