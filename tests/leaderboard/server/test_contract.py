"""The OpenAPI document against the application: only declared responses occur."""

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

from tasteshift.leaderboard.server.app import create_app
from tasteshift.leaderboard.server.limits import Limits
from tasteshift.leaderboard.store.seasons import open_season
from tasteshift.leaderboard.store.tokens import issue
from tasteshift.suites.suite import Suite

GENEROUS = {"address_rate": 1e9, "address_burst": 10**9, "token_rate": 1e9, "token_burst": 10**9}
NEW_ATTEMPT = {"season": "spring", "agent": "a", "agent_config": {}, "hardware": ""}
EXAMPLES = 5
WITHOUT_INPUT = ("GET /api/v2/suites", "GET /api/v2/seasons")
REJECTED = ["400", "401", "404", "409", "413", "415", "422"]
NEGATIVE_DATA = checks.negative_data_rejection
"""Expects an error for invalid input; left out where this test has corrected it."""


@dataclass
class Board:
    """A board with a season, an attempt and an upload.

    known  path parameter -> a value that exists
    named  member of a body -> likewise
    """

    app: Any
    bearer: dict[str, str]
    known: dict[str, Any]
    named: dict[str, Any]


@pytest.fixture
def board(suite: Suite, tmp_path: Path) -> Iterator[Board]:
    location = tmp_path / "board.db"
    limits = Limits(**GENEROUS, open_uploads=10**6, open_attempts=10**6)
    app = create_app(location, limits=limits)
    opened = app.state.shared.board
    open_season(opened, "spring", suite.id, "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z")
    issue(opened, "spare", "submit")
    bearer = {"Authorization": f"Bearer {issue(opened, 'root', 'admin')}"}
    with TestClient(app) as client:
        started = client.post(
            "/api/v2/attempts",
            json=NEW_ATTEMPT | {"simulator_trained": False},
            headers=bearer | {"Idempotency-Key": "contract"},
        ).json()
        run = {"sha256": "0" * 64, "size": 10**6}
        number = client.post("/api/v2/submissions", json=run, headers=bearer).json()["id"]
        known = {"attempt": started["attempt"], "number": number, "name": "spare"}
        known |= {"task": 1, "episode": 2, "turn": 0, "item": 3}
        yield Board(app, bearer, known, {"season": "spring", "suite": suite.id})


@schemathesis.serializer("application/offset+octet-stream")
def raw_bytes(ctx: Any, value: Any) -> Any:
    return {"data": serialize_binary(value)}


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_only_declared_responses_occur(board: Board, mode: GenerationMode) -> None:
    load_all_checks()
    rejected = {"negative_data_rejection": {"expected-statuses": REJECTED}}
    storable = {"allow-x00": False}  # JSON Schema cannot exclude the character 0
    config = schemathesis.Config.from_dict({"checks": rejected, "generation": storable})
    document = schemathesis.openapi.from_asgi("/api/v2/openapi.json", board.app, config=config)
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) == sum(map(len, board.app.openapi()["paths"].values()))
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and operation.label in WITHOUT_INPUT:
            continue
        answers = _answers(board, operation, mode)
        assert answers, f"no request was sent to {operation.label}"


def _answers(board: Board, operation: Any, mode: GenerationMode) -> set[int]:
    """Statuses of the responses to some requests, each checked against the document."""
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
        excluded = [] if "Authorization" in (case.headers or {}) else [NEGATIVE_DATA]
        found = case.call_and_validate(headers=board.bearer, excluded_checks=excluded)
        statuses.add(found.status_code)
        leads = {key: board.known[key] for key in case.path_parameters or () if key in board.known}
        named = {key: board.named[key] for key in _keys(case.body) if key in board.named}
        if leads or named:
            case.path_parameters = {**case.path_parameters, **leads}
            case.body = {**case.body, **named} if named else case.body
            found = case.call_and_validate(headers=board.bearer, excluded_checks=[NEGATIVE_DATA])
            statuses.add(found.status_code)

    ask()
    return statuses


def _keys(body: Any) -> list[str]:
    return list(body) if isinstance(body, dict) else []
