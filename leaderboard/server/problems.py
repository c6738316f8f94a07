"""Error responses: problem documents (RFC 9457) with one line of detail."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from ...errors import InputError
from ..store.database import ConflictError

MEDIA_TYPE = "application/problem+json"
MAX_DETAIL = 300
DOCUMENT = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "offset": {"type": "integer", "description": "of an archive: index of its next byte"},
    },
}

log = logging.getLogger("tasteshift.board")


class Problem(HTTPException):
    """An error that ends a request with an RFC 9457 document.

    detail  one line that says what is wrong
    more    further members of the document, such as offset
    """

    def __init__(
        self, status: int, detail: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(status, detail, headers)
        self.more = more

    def response(self) -> Response:
        """The response to send."""
        body = {
            "type": "about:blank",
            "title": HTTPStatus(self.status_code).phrase,
            "status": self.status_code,
            "detail": printable(self.detail),
            **self.more,
        }
        return JSONResponse(body, self.status_code, self.headers, MEDIA_TYPE)


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Entries of the OpenAPI document for the problems that a route may answer with."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": DOCUMENT}},
        }
        for status in statuses
    }


def add_exception_handlers(app: FastAPI) -> None:
    """Turn every error of `app` into a problem document that reveals nothing of the server."""

    @app.exception_handler(HTTPException)
    def _http_error(request: Request, error: HTTPException) -> Response:
        if isinstance(error, Problem):
            return error.response()
        headers = dict(error.headers or {})
        return Problem(error.status_code, error.detail, headers=headers).response()

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return Problem(422, f"{where}: {first['msg']}").response()

    @app.exception_handler(InputError)
    def _input_error(request: Request, error: InputError) -> Response:
        return Problem(422, str(error)).response()

    @app.exception_handler(ConflictError)
    def _conflict(request: Request, error: ConflictError) -> Response:
        return Problem(409, "this was changed by another request; ask again").response()

    @app.exception_handler(PoolTimeout)
    @app.exception_handler(DBAPIError)
    def _database_error(request: Request, error: DBAPIError | PoolTimeout) -> Response:
        cause = error.orig if isinstance(error, DBAPIError) else error
        log.error("database error: %s", type(cause).__name__)
        wait = {"Retry-After": "1"}
        return Problem(503, "the board's database is busy; try again", headers=wait).response()


def printable(text: str) -> str:
    """`text` as one printable line of at most MAX_DETAIL characters."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= MAX_DETAIL else f"{shown[: MAX_DETAIL - 1]}…"


def too_many_requests(whose: str, wait: int) -> Problem:
    """A refusal for exceeding a rate; the next request is allowed in `wait` seconds."""
    detail = f"too many requests {whose}; ask again in {wait} s"
    return Problem(429, detail, headers={"Retry-After": str(wait)})
