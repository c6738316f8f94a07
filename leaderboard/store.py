"""Where accepted runs are kept: one append-only table in SQLite, through SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, URL, Engine, UniqueConstraint, create_engine, inspect, select
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from ..errors import InputError
from .verification.verdict import VerifiedRun

Json = Any
BUSY_SECONDS = 30


class Base(DeclarativeBase):
    """All tables of a board."""


class Submission(Base):
    """One accepted run. Rows are only ever added; the database itself refuses anything else.

    submitted       UTC, ISO 8601
    privileged      the agent was shown the truth: never ranked
    tasks           every task of the suite, in order
    scores          rows of scores.json; clocked, overall: likewise (see `VerifiedRun`)
    trust           metric -> how far it is believed
    actions_digest  equal for runs whose agent showed the same slates
    """

    __tablename__ = "submissions"
    __table_args__ = (UniqueConstraint("identity_hash", "actions_digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    submitted: Mapped[str]
    identity_hash: Mapped[str] = mapped_column(index=True)
    actions_digest: Mapped[str] = mapped_column(index=True)
    suite: Mapped[str] = mapped_column(index=True)
    agent: Mapped[str]
    decoder: Mapped[str]
    pair: Mapped[str]
    privileged: Mapped[bool]
    tasks: Mapped[Json] = mapped_column(JSON)
    trust: Mapped[Json] = mapped_column(JSON)
    manifest: Mapped[Json] = mapped_column(JSON)
    scores: Mapped[Json] = mapped_column(JSON)
    clocked: Mapped[Json] = mapped_column(JSON)
    overall: Mapped[Json] = mapped_column(JSON)


class Board:
    """An open board; use `open_board`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def submissions(self, suite: str | None = None) -> list[Submission]:
        """All submissions in the order in which they came, or those to one suite id."""
        wanted = select(Submission).order_by(Submission.id)
        if suite is not None:
            wanted = wanted.where(Submission.suite == suite)
        with Session(self._engine, expire_on_commit=False) as session:
            return list(session.scalars(wanted))

    def add(self, run: VerifiedRun) -> tuple[Submission, bool]:
        """Keep a run; returns its row, and False where the same run was there already."""
        row = _row(run)
        with Session(self._engine, expire_on_commit=False) as session:
            try:
                session.add(row)
                session.commit()
            except IntegrityError:
                session.rollback()
                same = select(Submission).where(
                    Submission.identity_hash == row.identity_hash,
                    Submission.actions_digest == row.actions_digest,
                )
                return session.scalars(same).one(), False
        return row, True

    def first_with(self, actions_digest: str) -> Submission:
        """The earliest submission whose agent showed exactly these slates."""
        same = select(Submission).where(Submission.actions_digest == actions_digest)
        with Session(self._engine, expire_on_commit=False) as session:
            return session.scalars(same.order_by(Submission.id).limit(1)).one()


@contextmanager
def open_board(path: str | Path, *, create: bool = False) -> Iterator[Board]:
    """Open the board in a database file, and close it again.

    create  make the file where there is none

    Raises InputError where there is none to open, or where the file is no board.
    """
    file = board_file(path)
    if not create and not file.exists():
        raise InputError(f"there is no board at {file}; submit a run first")
    url = URL.create("sqlite", database=str(file))
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    try:
        if create:
            file.parent.mkdir(parents=True, exist_ok=True)
            _make_tables(engine)
        _check_tables(file, engine)
        yield Board(engine)
    except DatabaseError as error:
        raise InputError(f"{file} cannot be used as a board: {error.orig}") from None
    except OSError as error:
        raise InputError(f"{file} cannot be used as a board: {error.strerror}") from None
    finally:
        engine.dispose()


def board_file(path: str | Path) -> Path:
    """The database file that a person named; raises InputError for anything else."""
    name = str(path).removeprefix("sqlite:///")
    if "://" in name:
        raise InputError(f"board {name!r} is an address; name a database file such as board.db")
    if not name or Path(name).is_dir():
        raise InputError(f"board {name!r} is a folder; name a database file such as board.db")
    return Path(name)


def _make_tables(engine: Engine) -> None:
    """In an empty database only, and in one transaction, whoever else may be trying the same.

    The write-ahead log lets readers go on while one writes; the triggers keep rows as they are.
    """
    if inspect(engine).get_table_names():
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        if not inspect(connection).get_table_names():
            Base.metadata.create_all(connection)
            for verb in ("UPDATE", "DELETE"):
                connection.exec_driver_sql(
                    f"CREATE TRIGGER submissions_no_{verb.lower()} BEFORE {verb} ON submissions "
                    "BEGIN SELECT RAISE(ABORT, 'submissions are only ever added'); END"
                )
        connection.exec_driver_sql("COMMIT")


def _check_tables(file: Path, engine: Engine) -> None:
    found, name = inspect(engine), Submission.__tablename__
    present = (
        {column["name"] for column in found.get_columns(name)} if found.has_table(name) else ()
    )
    if set(present) != {column.name for column in Submission.__table__.columns}:
        raise InputError(f"{file} is a database, but no board of this version; name another file")


def _row(run: VerifiedRun) -> Submission:
    identity = run.manifest.identity
    return Submission(
        submitted=datetime.now(UTC).isoformat(timespec="seconds"),
        identity_hash=run.manifest.identity_hash,
        actions_digest=run.actions_digest,
        suite=identity.suite,
        agent=identity.agent,
        decoder=identity.decoder,
        pair=identity.pair,
        privileged=run.privileged,
        tasks=list(run.tasks),
        trust=run.trust,
        manifest=asdict(run.manifest),
        scores=[asdict(row) for row in run.scores],
        clocked=[asdict(row) for row in run.clocked],
        overall=[asdict(row) for row in run.overall],
    )
