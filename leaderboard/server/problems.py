"""What is answered when something is wrong: one JSON document with one line that says what."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException

from ...errors import InputError
from ..store.database import ConflictError

MEDIA_TYPE = "application/problem+json"
LONGEST = 300
DOCUMENT = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "offset": {"type": "integer", "description": "of an archive: where the next byte goes"},
    },
}

log = logging.getLogger("tasteshift.board")


class Problem(HTTPException):
    """Ends a request with an RFC 9457 document.

    detail  one line for people
    more    further members of the document, such as offset
    """

    def __init__(
        self, status: int, detail: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(status, detail, headers)
        self.more = more

    def response(self) -> Response:
        """The answer itself."""
        body = {
            "type": "about:blank",
            "title": HTTPStatus(self.status_code).phrase,
            "status": self.status_code,
            "detail": printable(self.detail),
            **self.more,
        }
        return JSONResponse(body, self.status_code, self.headers, MEDIA_TYPE)


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The part of the OpenAPI document that tells which problems a route may answer with."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": DOCUMENT}},
        }
        for status in statuses
    }


def answer_problems(app: FastAPI) -> None:
    """Make every error of `app` a problem document; none tells how the server is built."""

    @app.exception_handler(HTTPException)
    def _known(request: Request, error: HTTPException) -> Response:
        if isinstance(error, Problem):
            return error.response()
        headers = dict(error.headers or {})
        return Problem(error.status_code, error.detail, headers=headers).response()

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return Problem(422, f"{place}: {first['msg']}").response()

    @app.exception_handler(InputError)
    def _unusable(request: Request, error: InputError) -> Response:
        return Problem(422, str(error)).response()

    @app.exception_handler(ConflictError)
    def _outpaced(request: Request, error: ConflictError) -> Response:
        return Problem(409, "something else happened to this just now; ask again").response()

    @app.exception_handler(NoConnection)
    @app.exception_handler(DBAPIError)
    def _away(request: Request, error: DBAPIError | NoConnection) -> Response:
        cause = error.orig if isinstance(error, DBAPIError) else error
        log.error("the database refuses: %s", type(cause).__name__)
        wait = {"Retry-After": "1"}
        return Problem(503, "the board's database is busy; try again", headers=wait).response()


def printable(text: str) -> str:
    """One line of at most `LONGEST` characters that every terminal and log can take."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
