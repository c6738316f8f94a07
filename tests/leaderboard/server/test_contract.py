"""The OpenAPI document against the application: whatever is sent, only what it declares returns."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi import checks
from schemathesis.transport.serialization import serialize_binary

from tasteshift.leaderboard.server.app import make_app
from tasteshift.leaderboard.server.limits import Limits
from tasteshift.leaderboard.store.seasons import open_season
from tasteshift.leaderboard.store.tokens import issue
from tasteshift.suites.suite import Suite

ABUNDANT = {"address_rate": 1e9, "address_burst": 10**9, "token_rate": 1e9, "token_burst": 10**9}
ENTRANT = {"season": "spring", "agent": "a", "agent_config": {}, "hardware": ""}
EXAMPLES = 5
NOTHING_TO_SAY = ("GET /api/v1/suites", "GET /api/v1/seasons")
REJECTED = ["400", "401", "404", "409", "413", "415", "422"]
WRONG_BY_NATURE = checks.negative_data_rejection
"""Wants an error for what was made wrong; left out where this test has put it right."""


@dataclass
class Board:
    """A board on which there is something to find.

    known  path parameter -> a value that leads somewhere
    named  member of a body -> likewise
    """

    app: Any
    bearer: dict[str, str]
    known: dict[str, Any]
    named: dict[str, Any]


@pytest.fixture
def board(suite: Suite, tmp_path: Path) -> Iterator[Board]:
    place = tmp_path / "board.db"
    limits = Limits(**ABUNDANT, open_uploads=10**6, open_attempts=10**6)
    app = make_app(place, limits=limits)
    opened = app.state.desk.board
    open_season(opened, "spring", suite.id, "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z")
    issue(opened, "spare", "submit")
    bearer = {"Authorization": f"Bearer {issue(opened, 'root', 'admin')}"}
    with TestClient(app) as client:
        started = client.post(
            "/api/v1/attempts",
            json=ENTRANT | {"simulator_trained": False},
            headers=bearer | {"Idempotency-Key": "contract"},
        ).json()
        run = {"sha256": "0" * 64, "size": 10**6}
        number = client.post("/api/v1/submissions", json=run, headers=bearer).json()["id"]
        known = {"attempt": started["attempt"], "number": number, "name": "spare"}
        known |= {"world": 1, "life": 2, "turn": 0, "item": 3}
        yield Board(app, bearer, known, {"season": "spring", "suite": suite.id})


@schemathesis.serializer("application/offset+octet-stream")
def as_it_is(ctx: Any, value: Any) -> Any:
    return {"data": serialize_binary(value)}


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_only_what_is_declared_is_answered(board: Board, mode: GenerationMode) -> None:
    load_all_checks()
    rejected = {"negative_data_rejection": {"expected-statuses": REJECTED}}
    storable = {"allow-x00": False}  # no schema can say that no text may hold the character 0
    config = schemathesis.Config.from_dict({"checks": rejected, "generation": storable})
    document = schemathesis.openapi.from_asgi("/api/v1/openapi.json", board.app, config=config)
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) == sum(map(len, board.app.openapi()["paths"].values()))
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and operation.label in NOTHING_TO_SAY:
            continue
        answers = _answers(board, operation, mode)
        assert answers, f"nothing was asked of {operation.label}"


def _answers(board: Board, operation: Any, mode: GenerationMode) -> set[int]:
    """The statuses of the answers to some requests, each checked against the document."""
    statuses = set()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        mended = [] if "Authorization" in (case.headers or {}) else [WRONG_BY_NATURE]
        found = case.call_and_validate(headers=board.bearer, excluded_checks=mended)
        statuses.add(found.status_code)
        leads = {key: board.known[key] for key in case.path_parameters or () if key in board.known}
        named = {key: board.named[key] for key in _keys(case.body) if key in board.named}
        if leads or named:
            case.path_parameters = {**case.path_parameters, **leads}
            case.body = {**case.body, **named} if named else case.body
            found = case.call_and_validate(headers=board.bearer, excluded_checks=[WRONG_BY_NATURE])
            statuses.add(found.status_code)

    ask()
    return statuses


def _keys(body: Any) -> list[str]:
    return list(body) if isinstance(body, dict) else []
