"""Access tokens: scopes, revocation, and storage as a hash."""

import pytest

from tasteshift.errors import InputError
from tasteshift.leaderboard.store.database import Board
from tasteshift.leaderboard.store.schema import Token
from tasteshift.leaderboard.store.tokens import authenticate, issue, revoke


def test_a_token_is_valid_until_it_is_revoked(board: Board) -> None:
    mine, hers = issue(board, "me", "submit"), issue(board, "her", "admin")
    assert mine != hers
    assert len(mine) >= 43 + len("me.")
    known = authenticate(board, mine)
    assert known is not None
    assert (known.name, known.scope) == ("me", "submit")
    for wrong in ("", "me", "me.", mine + "x", mine[:-1], hers.replace("her", "me"), "x" * 10**6):
        assert authenticate(board, wrong) is None
    for odd in ("\0.x", "\ud800.x", "me\0.x", "' OR 1=1 --.x", mine.replace("me", "ME")):
        assert authenticate(board, odd) is None
    assert revoke(board, "me")
    assert authenticate(board, mine) is None
    assert authenticate(board, hers) is not None
    assert not revoke(board, "me")
    assert not revoke(board, "nobody")


def test_names_are_never_reused(board: Board) -> None:
    issue(board, "me", "submit")
    revoke(board, "me")
    with pytest.raises(InputError, match="already"):
        issue(board, "me", "submit")
    for name in ("", "Me", "../me", "a" * 65, "me\n", "-me"):
        with pytest.raises(InputError, match="is invalid"):
            issue(board, name, "submit")
    with pytest.raises(InputError, match="submit or admin"):
        issue(board, "you", "root")


def test_a_token_is_stored_as_a_hash_only(board: Board) -> None:
    token = issue(board, "me", "submit")
    with board.session() as session:
        row = session.get_one(Token, "me")
        columns = {column.key: getattr(row, column.key) for column in Token.__table__.columns}
    assert token not in str(columns)
    assert token.partition(".")[2] not in str(columns)
