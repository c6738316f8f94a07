"""The tables of a board. All but leases and tokens only ever grow; the database sees to that.

Times are UTC, ISO 8601 with seconds. Whatever is put before a board is a `Submission`, and what
happens to it is a list of `Event`s: its state is the state of the last one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DDL, JSON, ForeignKey, MetaData, Table, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = Any

FINAL = ("accepted", "refused")
FOLLOWS = {
    "": {"receiving", "playing", "queued"},
    "receiving": {"receiving", "queued", "refused"},
    "playing": {"playing", "queued", "refused"},
    "queued": {"working", "refused"},
    "working": {"working", *FINAL},
    "refused": {"queued"},
}
"""State -> the states that may come next; "" is before the first event, and after "accepted" there
is none. What was refused is verified again where the keeper of the board says so (`retry`)."""


def utc_now() -> str:
    """The time as every table writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Base(DeclarativeBase):
    """All tables of a board."""


class Submission(Base):
    """A run to replay, or an attempt at play on hidden seeds.

    key    what makes it one and the same when it is sent again: `<owner>:<SHA-256>` of a run's
           archive, 32 random hexadecimal digits of an attempt
    kind   run or attempt
    owner  name of the token that sent it
    about  what was said of it beforehand; never what it turned out to be
    """

    __tablename__ = "submissions"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(index=True)
    owner: Mapped[str] = mapped_column(index=True)
    created: Mapped[str]
    about: Mapped[Json] = mapped_column(JSON)


class Event(Base):
    """What happened to a submission, in the order of `seq` (from 0); message is one line."""

    __tablename__ = "events"

    submission_id: Mapped[int] = mapped_column(ForeignKey("submissions.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[str]
    state: Mapped[str]
    message: Mapped[str]


class Result(Base):
    """What is believed of an accepted submission.

    privileged      the agent was shown the truth: never ranked
    identity_hash   of the manifest; actions_digest is equal where agents showed the same slates
    tasks           every task of the suite, in order
    trust           metric -> how far it is believed
    scores          rows of scores.json; clocked, overall: likewise (see `VerifiedRun`)
    sums            metric -> [[numerator, denominator], …], one pair a cluster, over all tasks
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
    clocked: Mapped[Json] = mapped_column(JSON)
    overall: Mapped[Json] = mapped_column(JSON)
    sums: Mapped[Json] = mapped_column(JSON)


class AttemptAction(Base):
    """One answer in a life of an attempt; the first that was stored is the one that counts."""

    __tablename__ = "actions"

    submission_id: Mapped[int] = mapped_column(ForeignKey("submissions.id"), primary_key=True)
    episode: Mapped[int] = mapped_column(primary_key=True)
    turn: Mapped[int] = mapped_column(primary_key=True)
    action: Mapped[Json] = mapped_column(JSON)
    at: Mapped[str]


class Season(Base):
    """A time in which attempts at one suite draw their worlds from one secret.

    commitment  to the secret, published before anyone plays; the secret itself is in a file
    """

    __tablename__ = "seasons"

    name: Mapped[str] = mapped_column(primary_key=True)
    suite: Mapped[str]
    opens: Mapped[str]
    closes: Mapped[str]
    commitment: Mapped[str]


class Invalidation(Base):
    """An erratum: a result that no longer counts, and perhaps the submission in its place."""

    __tablename__ = "invalidations"

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submissions.id"), index=True)
    at: Mapped[str]
    by: Mapped[str]
    reason: Mapped[str]
    replaced_by: Mapped[int | None] = mapped_column(ForeignKey("submissions.id"))


class Lease(Base):
    """A place in the queue: there from "queued" to the verdict.

    worker    who is at it; "" while nobody was
    expires   seconds since the epoch; from then on anybody may take it
    attempts  how often it was taken
    """

    __tablename__ = "leases"

    submission_id: Mapped[int] = mapped_column(ForeignKey("submissions.id"), primary_key=True)
    worker: Mapped[str]
    expires: Mapped[float] = mapped_column(index=True)
    attempts: Mapped[int]


class Token(Base):
    """A key to the service; only its SHA-256 is kept. revoked is when it ceased to open."""

    __tablename__ = "tokens"

    name: Mapped[str] = mapped_column(primary_key=True)
    hash: Mapped[str]
    scope: Mapped[str]
    created: Mapped[str]
    revoked: Mapped[str | None]


APPEND_ONLY = (Submission, Event, Result, AttemptAction, Season, Invalidation)
CHANGEABLE = (Lease, Token)

POSTGRES_FUNCTION = """
CREATE OR REPLACE FUNCTION only_ever_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%% are only ever added', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$
"""
POSTGRES_TRIGGER = """
CREATE TRIGGER only_ever_added BEFORE UPDATE OR DELETE OR TRUNCATE ON %(table)s
FOR EACH STATEMENT EXECUTE FUNCTION only_ever_added()
"""
SQLITE_TRIGGER = """
CREATE TRIGGER %(table)s_no_{verb} BEFORE {verb} ON %(table)s
BEGIN SELECT RAISE(ABORT, '%(table)s are only ever added'); END
"""


def _listen(target: Table | MetaData, moment: str, statement: str, dialect: str) -> None:
    ddl = DDL(statement)  # type: ignore[no-untyped-call]
    event.listen(target, moment, ddl.execute_if(dialect=dialect))


def _keep(table: Table) -> None:
    """Have the database refuse to change or to remove a row of `table`, whoever asks."""
    _listen(table, "after_create", POSTGRES_TRIGGER, "postgresql")
    for verb in ("UPDATE", "DELETE"):
        _listen(table, "after_create", SQLITE_TRIGGER.format(verb=verb), "sqlite")


_listen(Base.metadata, "before_create", POSTGRES_FUNCTION, "postgresql")
for _mapped in APPEND_ONLY:
    _keep(Base.metadata.tables[_mapped.__tablename__])
