"""Opening boards, their version, and append-only tables."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import delete, inspect, text, update
from sqlalchemy.exc import IntegrityError

from tasteshift.errors import InputError
from tasteshift.leaderboard.store import schema
from tasteshift.leaderboard.store.actions import store_action
from tasteshift.leaderboard.store.database import Board, database_url, display_url, open_board
from tasteshift.leaderboard.store.results import invalidate
from tasteshift.leaderboard.store.seasons import open_season
from tasteshift.leaderboard.store.submissions import add_submission

YEARS = ("2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00")


def filled(board: Board) -> None:
    """One row in every table."""
    attempt, _ = add_submission(
        board, kind="attempt", key="a" * 32, owner="me", about={}, state="playing"
    )
    store_action(board, attempt.id, 0, 0, {"slate": [1]})
    open_season(board, "spring", "quick@2", *YEARS)
    columns = {column.name: "" for column in schema.Result.__table__.columns}
    with board.transaction() as session:
        session.add(schema.Result(**columns | {"submission_id": attempt.id, "privileged": False}))
    invalidate(board, attempt.id, "me", "a mistake")


@pytest.mark.parametrize("mapped", schema.APPEND_ONLY, ids=lambda one: one.__tablename__)
def test_append_only_tables_reject_changes(board: Board, mapped: type[schema.Base]) -> None:
    filled(board)
    table = mapped.__table__
    column = list(table.columns)[-1]
    rewritten = update(table).values({column: column})
    for statement in (delete(table), rewritten):
        with (
            pytest.raises(IntegrityError, match=f"{table.name} is append-only"),
            board.transaction() as session,
        ):
            session.execute(statement)
    with board.session() as session:
        assert session.query(mapped).count() == 1


def test_truncate_and_replace_are_rejected_too(board: Board) -> None:
    filled(board)
    statement = {
        "sqlite": "REPLACE INTO events SELECT * FROM events",
        "postgresql": "TRUNCATE events",
    }[board.engine.dialect.name]
    with pytest.raises(IntegrityError, match="append-only"), board.transaction() as session:
        session.execute(text(statement))


def test_every_table_is_append_only_or_listed_as_changeable() -> None:
    named = {one.__tablename__ for one in (*schema.APPEND_ONLY, *schema.CHANGEABLE)}
    assert named == set(schema.Base.metadata.tables)


def test_concurrent_creation_makes_one_board(board_location: str, tmp_path: Path) -> None:
    def create(number: int) -> bool:
        with open_board(board_location, create=True, files=tmp_path / "files") as board:
            _, new = add_submission(
                board, kind="run", key="k", owner="me", about={}, state="queued"
            )
            return new

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(create, range(12))) == 1
    with open_board(board_location, files=tmp_path / "files") as board, board.session() as session:
        assert session.query(schema.Submission).count() == 1
        assert session.query(schema.Event).count() == 1


def test_a_missing_board_is_not_created(board_location: str, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="there is no board at"),
        open_board(board_location, files=tmp_path),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_changed_tables_are_refused(board_location: str, tmp_path: Path) -> None:
    with open_board(board_location, create=True, files=tmp_path) as board:
        statement = "ALTER TABLE results RENAME COLUMN track TO lane"
        with board.engine.begin() as connection:
            connection.execute(text(statement))
    for create in (True, False):
        with (
            pytest.raises(InputError, match="table results was changed"),
            open_board(board_location, create=create, files=tmp_path),
        ):
            pass


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "CREATE TABLE submissions (id INTEGER, trust TEXT)",
            f"is a board of version 1, but only version {schema.BOARD_VERSION} can be read",
        ),
        ("CREATE TABLE notes (id INTEGER)", "is a database, but not a board"),
    ],
)
def test_an_older_board_or_another_database_is_refused_unchanged(
    tmp_path: Path, statement: str, message: str
) -> None:
    file = tmp_path / "old.db"
    with sqlite3.connect(file) as connection:
        connection.execute(statement)
    connection.close()
    before = file.read_bytes()
    for create in (True, False):
        with (
            pytest.raises(InputError, match=rf"old\.db {message}"),
            open_board(file, create=create),
        ):
            pass
    assert file.read_bytes() == before


def test_a_board_of_another_version_is_refused(board_location: str, tmp_path: Path) -> None:
    with (
        open_board(board_location, create=True, files=tmp_path) as board,
        board.transaction() as session,
    ):
        session.add(schema.BoardVersion(version=99))
    message = r"is a board of version 99, but only version 2 can be read; start a new board"
    with pytest.raises(InputError, match=message), open_board(board_location, files=tmp_path):
        pass


def test_sqlite_uses_a_write_ahead_log_and_a_folder_beside_it(tmp_path: Path) -> None:
    with open_board(f"sqlite:///{tmp_path}/a b.db", create=True) as board:
        assert board.files == tmp_path / "a b.db.files"
        with board.engine.connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 2


@pytest.mark.parametrize(
    "location",
    [
        "postgresql://me:hunter2@127.0.0.1:1/board",
        "postgresql://me:hunter2@[::1/board",
        "postgresql://me:hunter2@localhost:port/board",
        "postgresql://me@127.0.0.1:1/board?password=hunter2",
        "postgresql://me@127.0.0.1:1/board?password=hunter2&connect_timeout=hunter2",
        "mysql://me:hunter2@localhost/board",
        "sqlite://me:hunter2@localhost/board.db",
        "https://me:hunter2@board.example",
    ],
)
def test_no_message_contains_the_password(location: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught, open_board(location, files=tmp_path):
        pass
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_urls_are_parsed_and_printed_without_password() -> None:
    url = database_url("postgresql://me:hunter2@localhost:5433/board")
    assert (url.drivername, url.password) == ("postgresql+psycopg", "hunter2")
    assert display_url(url) == "postgresql://localhost:5433/board"
    url = database_url("postgresql://me@localhost/board?password=hunter2&sslmode=disable")
    assert (url.password, dict(url.query)) == ("hunter2", {"sslmode": "disable"})
    assert "hunter2" not in repr(url)
    assert database_url("sqlite:///board.db") == database_url("board.db")
    message = "needs a folder for its files"
    with pytest.raises(InputError, match=message), open_board("postgresql://me@localhost/board"):
        pass


def test_indexes_exist_for_the_queries(board: Board) -> None:
    found = inspect(board.engine)
    indexed = {
        (table, column)
        for table in found.get_table_names()
        for index in found.get_indexes(table)
        for column in index["column_names"]
    }
    assert {("leases", "expires"), ("results", "actions_digest"), ("results", "suite")} <= indexed
