"""Access tokens: printed once when issued, then stored only as a hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Literal, get_args

from sqlalchemy.exc import IntegrityError

from ...errors import InputError
from .database import Board
from .files import NAME, checked_name
from .schema import Token, utc_now

Scope = Literal["submit", "admin"]
SCOPES: tuple[str, ...] = get_args(Scope)
UNKNOWN_TOKEN_HASH = "0" * 64


def issue(board: Board, name: str, scope: str) -> str:
    """Issue a token, `<name>.<256 random bits>`, for `scope`; admin includes all others.

    Raises InputError where the name was ever used, since it owns what was submitted under it.
    """
    if scope not in SCOPES:
        raise InputError(f"scope {scope!r} does not exist; choose {' or '.join(SCOPES)}")
    token = f"{checked_name(name)}.{secrets.token_urlsafe(32)}"
    try:
        with board.transaction() as session:
            row = Token(name=name, hash=_hash(token), scope=scope, created=utc_now(), revoked=None)
            session.add(row)
    except IntegrityError:
        raise InputError(f"there is a token {name!r} already; choose another name") from None
    return token


def authenticate(board: Board, token: str) -> Token | None:
    """Return the valid token that matches, or None; takes equally long in both cases."""
    name = token.partition(".")[0]
    with board.session() as session:
        known = session.get(Token, name) if re.fullmatch(NAME, name) else None
    same = hmac.compare_digest(known.hash if known else UNKNOWN_TOKEN_HASH, _hash(token))
    return known if known and same and known.revoked is None else None


def revoke(board: Board, name: str) -> bool:
    """Revoke a token for good; False where there is no valid token of that name."""
    with board.transaction() as session:
        known = session.get(Token, name, with_for_update=True)
        if known is None or known.revoked is not None:
            return False
        known.revoked = utc_now()
        return True


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
