"""Opening boards, and what no board lets happen."""

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
def test_the_database_itself_refuses_to_change_rows(
    board: Board, mapped: type[schema.Base]
) -> None:
    filled(board)
    table = mapped.__table__
    column = list(table.columns)[-1]
    rewritten = update(table).values({column: column})
    for statement in (delete(table), rewritten):
        with (
            pytest.raises(IntegrityError, match=f"{table.name} are only ever added"),
            board.transaction() as session,
        ):
            session.execute(statement)
    with board.session() as session:
        assert session.query(mapped).count() == 1


def test_neither_truncate_nor_replace_gets_around_that(board: Board) -> None:
    filled(board)
    statement = {
        "sqlite": "REPLACE INTO events SELECT * FROM events",
        "postgresql": "TRUNCATE events",
    }[board.engine.dialect.name]
    with pytest.raises(IntegrityError, match="only ever added"), board.transaction() as session:
        session.execute(text(statement))


def test_every_table_is_either_append_only_or_known_to_change() -> None:
    named = {one.__tablename__ for one in (*schema.APPEND_ONLY, *schema.CHANGEABLE)}
    assert named == set(schema.Base.metadata.tables)


def test_many_may_make_the_same_board(place: str, tmp_path: Path) -> None:
    def make(number: int) -> bool:
        with open_board(place, create=True, files=tmp_path / "files") as board:
            _, new = add_submission(
                board, kind="run", key="k", owner="me", about={}, state="queued"
            )
            return new

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(make, range(12))) == 1
    with open_board(place, files=tmp_path / "files") as board, board.session() as session:
        assert session.query(schema.Submission).count() == 1
        assert session.query(schema.Event).count() == 1


def test_a_board_must_be_there_to_be_opened(place: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no board at"), open_board(place, files=tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_other_tables_are_no_board(place: str, tmp_path: Path) -> None:
    with open_board(place, create=True, files=tmp_path) as board:
        column = "ALTER TABLE results RENAME COLUMN track TO lane"
        with board.engine.begin() as connection:
            connection.execute(text(column))
    for create in (True, False):
        with (
            pytest.raises(InputError, match="no board of this version"),
            open_board(place, create=create, files=tmp_path),
        ):
            pass


def test_an_earlier_schema_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE submissions (id INTEGER, trust TEXT)")
    connection.close()
    before = file.read_bytes()
    said = r"old\.db is a database, but no board of this version"
    with pytest.raises(InputError, match=said), open_board(file, create=True):
        pass
    assert file.read_bytes() == before


def test_sqlite_keeps_a_write_ahead_log_and_its_files_beside_it(tmp_path: Path) -> None:
    with open_board(f"sqlite:///{tmp_path}/a b.db", create=True) as board:
        assert board.files == tmp_path / "a b.db.files"
        with board.engine.connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 2


@pytest.mark.parametrize(
    "place",
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
def test_no_message_tells_a_password(place: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught, open_board(place, files=tmp_path):
        pass
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_urls_are_read_and_shown() -> None:
    url = database_url("postgresql://me:hunter2@localhost:5433/board")
    assert (url.drivername, url.password) == ("postgresql+psycopg", "hunter2")
    assert display_url(url) == "postgresql://localhost:5433/board"
    url = database_url("postgresql://me@localhost/board?password=hunter2&sslmode=disable")
    assert (url.password, dict(url.query)) == ("hunter2", {"sslmode": "disable"})
    assert "hunter2" not in repr(url)
    assert database_url("sqlite:///board.db") == database_url("board.db")
    said = "needs a folder for its files"
    with pytest.raises(InputError, match=said), open_board("postgresql://me@localhost/board"):
        pass


def test_indexes_serve_the_questions_that_are_asked(board: Board) -> None:
    found = inspect(board.engine)
    indexed = {
        (table, column)
        for table in found.get_table_names()
        for index in found.get_indexes(table)
        for column in index["column_names"]
    }
    assert {("leases", "expires"), ("results", "actions_digest"), ("results", "suite")} <= indexed
