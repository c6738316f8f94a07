"""Open a board: its database (SQLite or PostgreSQL) and its folder of files."""

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
    insert,
    inspect,
    make_url,
    select,
)
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.orm import Session

from ...errors import InputError
from .schema import BOARD_VERSION, Base, BoardVersion

BUSY_SECONDS = 60
"""How long a writer waits for the lock of SQLite."""

CONNECT_SECONDS = 10
CREATE_TABLES_LOCK = 0x7A57E
"""Advisory lock of PostgreSQL, held while creating the tables."""

EXAMPLES = "a database file such as board.db or a URL such as postgresql://me@localhost/board"


class ConflictError(Exception):
    """A concurrent change came first, so that nothing was written."""


@dataclass(frozen=True)
class Board:
    """An open board; use `open_board`. May be shared by threads, not by forked processes.

    files  folder of archives, attempts and secrets
    """

    engine: Engine
    files: Path

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session for reading; its rows stay usable afterwards."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A write transaction, committed unless the block raises; SQLite runs one at a time."""
        writer = self.engine.execution_options(begin="BEGIN IMMEDIATE")
        with Session(writer, expire_on_commit=False) as session, session.begin():
            yield session


@contextmanager
def open_board(
    location: str | Path, *, create: bool = False, files: str | Path | None = None
) -> Iterator[Board]:
    """Open the board at `location`, and close it after the block.

    location  a database file, sqlite:///file, or postgresql://user@host/database
    create    create the tables in an empty database
    files     folder of files; None for <database file>.files; required with PostgreSQL

    Raises InputError where there is no board, or one of another version.
    """
    url = database_url(location)
    name, folder = display_url(url), _files_folder(url, files)
    if not create and not board_exists(location):
        raise InputError(f"there is no board at {name}; submit a run first")
    engine = _engine(url)
    try:
        if create:
            _create_tables(engine)
        _check_tables(name, engine)
        yield Board(engine, folder)
    except DatabaseError as error:
        raise InputError(
            f"{name} cannot be used as a board: {_driver_message(url, error)}"
        ) from None
    except OSError as error:
        raise InputError(f"{name} cannot be used as a board: {error.strerror}") from None
    finally:
        engine.dispose()


def database_url(location: str | Path) -> URL:
    """Parse the location of a database; raises InputError for anything else."""
    name = str(location)
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
        return _move_password_from_query(url.set(drivername="postgresql+psycopg"))
    if scheme != "sqlite":
        raise InputError(f"board {scheme}://… is not a supported database; name {EXAMPLES}")
    if url.host or url.query:
        raise InputError(f"board {scheme}://… names more than a file; name {EXAMPLES}")
    return database_url(url.database or "")


def board_exists(location: str | Path) -> bool:
    """Whether there is a database file at `location`; always true of a database server."""
    url = database_url(location)
    return not _is_file(url) or Path(url.database or "").exists()


def display_url(url: URL) -> str:
    """Return the name of a database for messages, without password and options."""
    if _is_file(url):
        return str(url.database)
    public = URL.create("postgresql", host=url.host, port=url.port, database=url.database)
    return public.render_as_string()


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _files_folder(url: URL, files: str | Path | None) -> Path:
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
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, record: object) -> None:
    """Leave BEGIN to `_on_begin`, and have REPLACE fire the triggers as well."""
    connection.isolation_level = None
    for setting in ("foreign_keys", "recursive_triggers"):
        connection.execute(f"PRAGMA {setting} = ON")


def _on_begin(connection: Connection) -> None:
    """Take the write lock at BEGIN: upgrading from a read lock would fail."""
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _create_tables(engine: Engine) -> None:
    """Create the tables in an empty database, in one transaction; safe to run concurrently.

    SQLite's write-ahead log lets readers continue during a write.
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
            connection.execute(select(func.pg_advisory_xact_lock(CREATE_TABLES_LOCK)))
        if not inspect(connection).get_table_names():
            Base.metadata.create_all(connection)
            connection.execute(insert(BoardVersion).values(version=BOARD_VERSION))


def _check_tables(name: str, engine: Engine) -> None:
    """Raise InputError unless the database holds a board of exactly this version."""
    found = inspect(engine)
    present = set(found.get_table_names())
    if not present:
        raise InputError(f"there is no board at {name}; submit a run first")
    version = _version(engine, present)
    if version is None:
        raise InputError(f"{name} is a database, but not a board; name another one")
    if version != BOARD_VERSION:
        raise InputError(
            f"{name} is a board of version {version}, but only version {BOARD_VERSION} can be "
            "read; start a new board, or use the TasteShift version that made this one"
        )
    for table_name, table in Base.metadata.tables.items():
        known = table_name in present
        columns = {one["name"] for one in found.get_columns(table_name)} if known else set()
        if columns != {column.name for column in table.columns}:
            raise InputError(
                f"{name} is not a valid board: table {table_name} was changed; restore a backup"
            )


def _version(engine: Engine, tables: set[str]) -> int | None:
    """Return the version of a board's tables, or None for a database that is not a board.

    Version 1 did not write down its number.
    """
    if BoardVersion.__tablename__ in tables:
        with engine.connect() as connection:
            return connection.scalar(select(func.max(BoardVersion.version)))
    return 1 if "submissions" in tables else None


def _move_password_from_query(url: URL) -> URL:
    """Move a password from the query, which SQLAlchemy prints, to where it is masked."""
    password = url.query.get("password")
    if not isinstance(password, str):
        return url
    return url.difference_update_query(["password"]).set(password=password)


def _driver_message(url: URL, error: DatabaseError) -> str:
    """Return the driver's message in one line, without the password."""
    text = " ".join(str(error.orig).split())
    return text.replace(str(url.password), "***") if url.password else text
