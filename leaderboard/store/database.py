"""Opening a board: a database, SQLite or PostgreSQL, and the folder of files that belongs to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
)
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.orm import Session

from ...errors import InputError
from .schema import Base

BUSY_SECONDS = 60
"""How long a writer waits for its turn."""

CONNECT_SECONDS = 10
MAKING_TABLES = 0x7A57E
"""The advisory lock that whoever makes the tables in PostgreSQL holds."""

EXAMPLES = "a database file such as board.db or a URL such as postgresql://me@localhost/board"


class ConflictError(Exception):
    """Somebody else was first: what was to be written rests on what is no longer so."""


@dataclass(frozen=True)
class Board:
    """An open board; use `open_board`. May be shared by threads, never by forked processes.

    files  folder of archives, attempts and secrets
    """

    engine: Engine
    files: Path

    @contextmanager
    def session(self) -> Iterator[Session]:
        """For reading; rows stay usable after it."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction that is kept if the block ends well; SQLite lets in one at a time."""
        writer = self.engine.execution_options(begin="BEGIN IMMEDIATE")
        with Session(writer, expire_on_commit=False) as session, session.begin():
            yield session


@contextmanager
def open_board(
    place: str | Path, *, create: bool = False, files: str | Path | None = None
) -> Iterator[Board]:
    """Open the board at `place`, and close it again.

    place   a database file, sqlite:///file, or postgresql://user@host/database
    create  make its tables where there are none
    files   its folder of files; None for <database file>.files, which PostgreSQL has not

    Raises InputError where there is none to open, or where it is no board of this version.
    """
    url = database_url(place)
    named, folder = display_url(url), _folder(url, files)
    if not create and not board_exists(place):
        raise InputError(f"there is no board at {named}; submit a run first")
    engine = _engine(url)
    try:
        if create:
            _make_tables(engine)
        _check_tables(named, engine)
        yield Board(engine, folder)
    except DatabaseError as error:
        raise InputError(f"{named} cannot be used as a board: {_cause(url, error)}") from None
    except OSError as error:
        raise InputError(f"{named} cannot be used as a board: {error.strerror}") from None
    finally:
        engine.dispose()


def database_url(place: str | Path) -> URL:
    """The database that a person named; raises InputError for anything else."""
    name = str(place)
    if "://" not in name:
        if not name or Path(name).is_dir():
            raise InputError(f"board {name!r} is a folder; name {EXAMPLES}")
        return URL.create("sqlite", database=name)
    scheme = name.partition("://")[0]
    try:
        url = make_url(name)
    except (ArgumentError, ValueError):
        raise InputError(f"board {scheme}://… cannot be read; name {EXAMPLES}") from None
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        return _with_password_in_its_place(url.set(drivername="postgresql+psycopg"))
    if scheme != "sqlite":
        raise InputError(f"board {scheme}://… is no database; name {EXAMPLES}")
    if url.host or url.query:
        raise InputError(f"board {scheme}://… has more than a file; name {EXAMPLES}")
    return database_url(url.database or "")


def board_exists(place: str | Path) -> bool:
    """Whether there is a database file at `place`; a server is always taken to have one."""
    url = database_url(place)
    return not _is_file(url) or Path(url.database or "").exists()


def display_url(url: URL) -> str:
    """The name of a database for people: without its password and whatever else might be one."""
    if _is_file(url):
        return str(url.database)
    kept = URL.create("postgresql", host=url.host, port=url.port, database=url.database)
    return kept.render_as_string()


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _folder(url: URL, files: str | Path | None) -> Path:
    if files is not None:
        return Path(files)
    if not _is_file(url):
        raise InputError(
            f"board {display_url(url)} needs a folder for its files; name one with --files"
        )
    return Path(f"{url.database}.files")


def _engine(url: URL) -> Engine:
    if not _is_file(url):
        settings = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS}
        try:
            return create_engine(
                url, isolation_level="READ COMMITTED", pool_pre_ping=True, connect_args=settings
            )
        except ImportError:
            raise InputError(
                "a board in PostgreSQL needs psycopg; install it with pip install 'psycopg[binary]'"
            ) from None
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, record: object) -> None:
    """Transactions begin where `_begin` says; REPLACE, too, meets the triggers."""
    connection.isolation_level = None
    for setting in ("foreign_keys", "recursive_triggers"):
        connection.execute(f"PRAGMA {setting} = ON")


def _begin(connection: Connection) -> None:
    """A writer takes its turn at once: a reader that became one could only fail."""
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _make_tables(engine: Engine) -> None:
    """In an empty database only, and in one transaction, whoever else may be trying the same.

    SQLite's write-ahead log lets readers go on while one writes.
    """
    file = Path(engine.url.database or "") if _is_file(engine.url) else None
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
    if inspect(engine).get_table_names():
        return
    if file:
        with closing(engine.raw_connection()) as raw:
            raw.cursor().execute("PRAGMA journal_mode = WAL")
    with engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
        if not file:
            connection.execute(select(func.pg_advisory_xact_lock(MAKING_TABLES)))
        if not inspect(connection).get_table_names():
            Base.metadata.create_all(connection)


def _check_tables(named: str, engine: Engine) -> None:
    found = inspect(engine)
    present = set(found.get_table_names())
    if not present:
        raise InputError(f"there is no board at {named}; submit a run first")
    for name, table in Base.metadata.tables.items():
        columns = {one["name"] for one in found.get_columns(name)} if name in present else set()
        if columns != {column.name for column in table.columns}:
            raise InputError(
                f"{named} is a database, but no board of this version; name another one"
            )


def _with_password_in_its_place(url: URL) -> URL:
    """Not among the options at its end, which whatever shows a URL shows as well."""
    password = url.query.get("password")
    if not isinstance(password, str):
        return url
    return url.difference_update_query(["password"]).set(password=password)


def _cause(url: URL, error: DatabaseError) -> str:
    """What the driver said, in one line and without the password."""
    said = " ".join(str(error.orig).split())
    return said.replace(str(url.password), "***") if url.password else said
