"""FastAPI dependencies: the application state and the caller's token."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ..store.schema import Submission, Token
from ..store.tokens import authenticate
from .problems import Problem, too_many_requests
from .schemas import LARGEST_ID
from .state import AppState

BEARER = HTTPBearer(auto_error=False, description="A token that an admin of the board issued.")
SubmissionId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="id of the submission")]


def app_state(request: Request) -> AppState:
    """The state of the application that serves this request."""
    state: AppState = request.app.state.shared
    return state


State = Annotated[AppState, Depends(app_state)]
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]


def current_token(state: State, credentials: Credentials) -> Token:
    """The caller's token, of any scope; raises Problem 401 or 429."""
    if credentials is None:
        challenge = {"WWW-Authenticate": "Bearer"}
        raise Problem(401, "this needs a token: Authorization: Bearer …", headers=challenge)
    token = authenticate(state.board, credentials.credentials)
    if token is None:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise Problem(401, "no such token, or it was revoked", headers=challenge)
    wait = state.token_rates.take(token.name)
    if wait:
        raise too_many_requests("with this token", wait)
    return token


CurrentToken = Annotated[Token, Depends(current_token)]


def admin_token(token: CurrentToken) -> Token:
    """The caller's token of scope admin; raises Problem 403 as well."""
    if token.scope != "admin":
        challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="admin"'}
        raise Problem(403, "this needs a token with scope admin", headers=challenge)
    return token


AdminToken = Annotated[Token, Depends(admin_token)]


def check_owner(token: Token, submission: Submission) -> None:
    """Raises Problem 403 unless the token may act for the owner of the submission."""
    if token.scope != "admin" and token.name != submission.owner:
        challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
        raise Problem(403, "this belongs to another token", headers=challenge)
