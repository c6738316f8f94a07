"""docs/hidden-seed.md, replayed: every exchange in it, and every limit that it names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasteshift.leaderboard.hidden.attempt import Attempt
from tasteshift.leaderboard.hidden.keys import commitment, world_key
from tasteshift.leaderboard.server.limits import Limits
from tasteshift.leaderboard.server.schemas import Answer, Entrant, Finished, Standing
from tasteshift.suites.engine.actions import LONGEST_TEXT

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


def test_the_document_has_every_message(exchanges: list[tuple[str, str, Any, Any]]) -> None:
    assert [(method, path.partition(ID)[2]) for method, path, _, _ in exchanges] == [
        ("POST", ""),
        ("GET", "/worlds/0"),
        ("GET", "/lives/0"),
        ("PUT", "/lives/0/turns/0"),
        ("PUT", "/lives/0/turns/1"),
        ("GET", "/lives/0"),
        ("POST", "/finish"),
    ]
    assert len(exchanges) == DOCUMENT.count("```http")


def test_the_example_is_what_happens(
    exchanges: list[tuple[str, str, Any, Any]], memory_board: Any
) -> None:
    """Equal in every value; a failure shows what the document should say."""
    board = memory_board()
    board.make = lambda: Attempt("quick@2", world_key(SECRET, ID), ID)
    board.restart()
    headers = {"Authorization": "Bearer token", "Idempotency-Key": "some-key"}
    with httpx.Client(transport=board.transport(), base_url="http://x", headers=headers) as client:
        for method, path, sent, told in exchanges:
            answer = client.request(method, path, json=sent)
            assert answer.status_code == 200
            real = answer.json()
            assert list(differences(told, real)) == [], json.dumps(real, ensure_ascii=False)[:3000]
            if "worlds" in path or "lives" in path:
                assert set(real) == set(told)
        picture = client.get(f"/api/v1/attempts/{ID}/worlds/0/posters/7.png")
        assert picture.content.startswith(b"\x89PNG")


def differences(told: Any, real: Any, at: str = "") -> Iterator[str]:
    """Where the shortened `told` is not the real thing; it may say more than a board in memory."""
    if isinstance(told, dict) and isinstance(real, dict):
        for name in real:
            yield from differences(told.get(name), real[name], f"{at}.{name}")
    elif isinstance(told, list) and told[-1:] == ["…"] and isinstance(real, list):
        if len(real) < len(told):
            yield at
        for one, other in zip(told[:-1], real, strict=False):
            yield from differences(one, other, f"{at}[]")
    elif repr(told) != repr(real):
        yield f"{at}: {told!r} is {real!r}"


def test_what_is_sent_is_what_the_server_takes(
    exchanges: list[tuple[str, str, Any, Any]],
) -> None:
    for method, path, sent, told in exchanges:
        if path.endswith("/attempts"):
            Entrant.model_validate(sent)
            assert set(sent) == set(Entrant.model_fields)
            assert set(told) == set(Standing.model_fields)
            assert told["commitment"] == commitment(SECRET, sent["season"])
        elif method == "PUT":
            Answer.model_validate(sent)
        elif path.endswith("/finish"):
            Finished.model_validate(told)
            assert set(told) == set(Finished.model_fields)


def test_the_limits_are_those_of_the_server() -> None:
    limits = Limits()
    assert f"{limits.answer // 1024} KiB" in DOCUMENT
    told = f"{limits.open_attempts}, {limits.token_rate:g} and {limits.attempt_seconds // 3600}"
    assert f"unless it was started otherwise {told} hours" in DOCUMENT
    assert f"at most {LONGEST_TEXT:,} characters" in DOCUMENT
    schema = Answer.model_json_schema()
    most = {name: schema["properties"][name]["maxItems"] for name in ("slate", "claims", "profile")}
    assert most == {"slate": 100, "claims": 100, "profile": 200}
    assert "at most 100 items, 100 claims, 200 profile entries" in DOCUMENT
