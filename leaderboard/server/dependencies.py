"""What every route works with: the open board, the limits, the clock, and who is asking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ..store.database import Board
from ..store.schema import Submission, Token
from ..store.tokens import authenticate
from .attempt_cache import Plays
from .board_cache import Rows
from .limits import Limits, Rates
from .middleware import too_fast
from .problems import Problem

LARGEST_ID = 2**31 - 1
SCHEME = HTTPBearer(auto_error=False, description="A token that an admin of the board issued.")


@dataclass(frozen=True)
class Desk:
    """What the routes of one server share.

    clock  seconds since 1970, UTC
    rates  requests with one token
    rows   of the board
    plays  attempts under way
    opening  held while somebody's open work is counted and added to; as with rates, two servers on
             one database count apart
    """

    board: Board
    limits: Limits
    clock: Callable[[], float]
    rates: Rates
    rows: Rows
    plays: Plays
    opening: Lock = field(default_factory=Lock)

    def now(self, later: float = 0.0) -> str:
        """The time in `later` seconds, as the store writes times."""
        return datetime.fromtimestamp(self.clock() + later, UTC).isoformat(timespec="seconds")


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


Here = Annotated[Desk, Depends(_desk)]
Shown = Annotated[HTTPAuthorizationCredentials | None, Depends(SCHEME)]


def _anybody(desk: Here, shown: Shown) -> Token:
    """Whoever has a token of any scope; raises Problem 401 or 429."""
    if shown is None:
        challenge = {"WWW-Authenticate": "Bearer"}
        raise Problem(401, "this needs a token: Authorization: Bearer …", headers=challenge)
    token = authenticate(desk.board, shown.credentials)
    if token is None:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise Problem(401, "no such token, or it was revoked", headers=challenge)
    wait = desk.rates.take(token.name)
    if wait:
        raise too_fast("with this token", wait)
    return token


Submitter = Annotated[Token, Depends(_anybody)]


def _admin(token: Submitter) -> Token:
    if token.scope != "admin":
        challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="admin"'}
        raise Problem(403, "this needs a token with scope admin", headers=challenge)
    return token


Admin = Annotated[Token, Depends(_admin)]


def check_owner(token: Token, submission: Submission) -> None:
    """Raises Problem 403 unless the token may act for whoever made the submission."""
    if token.scope != "admin" and token.name != submission.owner:
        challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
        raise Problem(403, "this belongs to another token", headers=challenge)
