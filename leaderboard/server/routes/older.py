"""Refusal of clients that speak an older version of the protocol."""

from __future__ import annotations

from fastapi import APIRouter

from ...protocol import API, OLDER_APIS, VERSION
from ..problems import Problem

router = APIRouter(include_in_schema=False)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def refuse(path: str) -> None:
    """Answer 410 Gone, with one line that says what to do."""
    raise Problem(
        410, f"this board speaks protocol {VERSION} under {API}; update tasteshift and try again"
    )


for older in OLDER_APIS:
    router.add_api_route(f"{older}/{{path:path}}", refuse, methods=METHODS)
