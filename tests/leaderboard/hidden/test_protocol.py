"""docs/hidden-seed.md against the code: every exchange and every limit in it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasteshift.leaderboard.hidden.attempt import Attempt
from tasteshift.leaderboard.hidden.messages import MAX_TEXT, Answer
from tasteshift.leaderboard.keys import attempt_key, commitment
from tasteshift.leaderboard.protocol import API, VERSION
from tasteshift.leaderboard.server.limits import Limits
from tasteshift.leaderboard.server.schemas import AttemptStatus, FinishedAttempt, NewAttempt

DOCUMENT = (Path(__file__).parents[3] / "docs" / "hidden-seed.md").read_text()
EXCHANGE = re.compile(
    r"```http\n(?P<method>\w+) (?P<path>\S+)\n(?:\n(?P<sent>\{.*?\n?\})\n)?```\n\n"
    r"```json\n(?P<got>.*?)\n```",
    re.DOTALL,
)
SECRET, ID = bytes(range(32)), "00112233445566778899aabbccddeeff"


@pytest.fixture(scope="module")
def exchanges() -> list[tuple[str, str, Any, Any]]:
    return [
        (one["method"], one["path"], json.loads(one["sent"] or "null"), json.loads(one["got"]))
        for one in EXCHANGE.finditer(DOCUMENT)
    ]


def test_document_has_every_message(exchanges: list[tuple[str, str, Any, Any]]) -> None:
    assert [(method, path.partition(ID)[2]) for method, path, _, _ in exchanges] == [
        ("POST", ""),
        ("GET", "/tasks/0"),
        ("GET", "/episodes/0"),
        ("PUT", "/episodes/0/turns/0"),
        ("PUT", "/episodes/0/turns/1"),
        ("GET", "/episodes/0"),
        ("POST", "/finish"),
    ]
    assert len(exchanges) == DOCUMENT.count("```http")


def test_example_exchanges_are_real(
    exchanges: list[tuple[str, str, Any, Any]], memory_board: Any
) -> None:
    """Equal in every value; a failure shows the text that the document should have."""
    board = memory_board()
    board.make = lambda: Attempt("quick@2", attempt_key(SECRET, ID), ID)
    board.restart()
    headers = {"Authorization": "Bearer token", "Idempotency-Key": "some-key"}
    with httpx.Client(transport=board.transport(), base_url="http://x", headers=headers) as client:
        for method, path, sent, documented in exchanges:
            answer = client.request(method, path, json=sent)
            assert answer.status_code == 200
            real = answer.json()
            assert list(differences(documented, real)) == [], json.dumps(real, ensure_ascii=False)[
                :3000
            ]
            if "tasks" in path or "episodes" in path:
                assert set(real) == set(documented)
        poster = client.get(f"{API}/attempts/{ID}/tasks/0/posters/7.png")
        assert poster.content.startswith(b"\x89PNG")


def differences(documented: Any, real: Any, at: str = "") -> Iterator[str]:
    """Where `documented`, which may be abbreviated and have more fields, differs from `real`."""
    if isinstance(documented, dict) and isinstance(real, dict):
        for name in real:
            yield from differences(documented.get(name), real[name], f"{at}.{name}")
    elif isinstance(documented, list) and documented[-1:] == ["…"] and isinstance(real, list):
        if len(real) < len(documented):
            yield at
        for one, other in zip(documented[:-1], real, strict=False):
            yield from differences(one, other, f"{at}[]")
    elif repr(documented) != repr(real):
        yield f"{at}: {documented!r} is {real!r}"


def test_documented_messages_have_the_fields_of_the_server(
    exchanges: list[tuple[str, str, Any, Any]],
) -> None:
    for method, path, sent, documented in exchanges:
        if path.endswith("/attempts"):
            NewAttempt.model_validate(sent)
            assert set(sent) == set(NewAttempt.model_fields)
            assert set(documented) == set(AttemptStatus.model_fields)
            assert documented["commitment"] == commitment(SECRET, sent["season"])
        elif method == "PUT":
            Answer.model_validate(sent)
        elif path.endswith("/finish"):
            FinishedAttempt.model_validate(documented)
            assert set(documented) == set(FinishedAttempt.model_fields)


def test_documented_limits_are_the_defaults() -> None:
    limits = Limits()
    assert f"{limits.answer // 1024} KiB" in DOCUMENT
    documented = (
        f"{limits.open_attempts}, {limits.token_rate:g} and {limits.attempt_seconds // 3600}"
    )
    assert f"by default {documented} hours" in DOCUMENT
    assert f"at most {MAX_TEXT:,} characters" in DOCUMENT
    schema = Answer.model_json_schema()
    most = {name: schema["properties"][name]["maxItems"] for name in ("slate", "claims", "profile")}
    assert most == {"slate": 100, "claims": 100, "profile": 200}
    assert "at most 100 items, 100 claims, 200 profile entries" in DOCUMENT


def test_document_names_the_protocol_version() -> None:
    assert f"protocol {VERSION}" in DOCUMENT
    assert f"`{API}`" in DOCUMENT
    assert set(re.findall(r"/api/v\d+", DOCUMENT)) == {API}
