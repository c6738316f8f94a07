"""Rates, body sizes and times of requests; headers and logs of responses."""

import asyncio
import logging
import threading
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tasteshift.leaderboard.server.limits import Limits, RateLimiter
from tasteshift.leaderboard.server.middleware import SECURITY_HEADERS, RequestGuard


def endless(app: Any, piece: bytes, pause: float) -> int:
    """Status of a request with an endless body without Content-Length."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/api/v2/submissions",
        "raw_path": b"/api/v2/submissions",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": ("10.0.0.1", 1),
        "server": ("board", 80),
        "scheme": "http",
        "root_path": "",
    }

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    status: int = sent[0]["status"]
    return status


def test_addresses_are_rate_limited(serve: Any) -> None:
    service = serve(address_rate=1, address_burst=3)
    answers = [service.client.get("/api/v2/suites") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["Retry-After"] == "1"
    assert answers[-1].headers["content-type"] == "application/problem+json"
    service.clock[0] += 1
    assert service.client.get("/api/v2/suites").status_code == 200


def test_ipv6_network_shares_one_rate(service: Any) -> None:
    rates = RateLimiter(1.0, 2, lambda: 0.0)
    guard = RequestGuard(service.app, Limits(), rates)
    asked = {"headers": [], "method": "GET"}
    network = [guard._refusal(asked, f"2001:db8:0:1::{k}") for k in range(1, 4)]
    assert [one is None for one in network] == [True, True, False]
    assert guard._refusal(asked, "2001:db8:0:2::1") is None
    assert guard._refusal(asked, "192.0.2.1") is None
    assert guard._refusal(asked, "testclient") is None


def test_tokens_are_rate_limited(serve: Any) -> None:
    service = serve(token_rate=1, token_burst=2)
    statuses = [service.announce(b"one").status_code for _ in range(3)]
    assert statuses == [201, 200, 429]
    assert service.announce(b"one", "bob").status_code == 201
    assert service.follow(1)["state"] == "receiving"


def test_large_bodies_are_refused_unread(serve: Any) -> None:
    service = serve(body=1000, chunk=2000)
    headers = service.bearer("ada") | {"Content-Type": "application/json"}

    answer = service.client.post("/api/v2/submissions", content=b" " * 1001, headers=headers)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert endless(service.app, b" " * 100, 0.0) == 413
    data = bytes(3000)
    service.announce(data)
    assert service.send(1, 0, data[:2001]).status_code == 413
    assert service.send(1, 0, data[:2000]).status_code == 200


@pytest.mark.parametrize("length", ["-5", "x", "1" * 30])
def test_invalid_content_length_is_refused(service: Any, length: str) -> None:
    headers = service.bearer("ada") | {"Content-Length": length}
    answer = service.client.post("/api/v2/submissions", content=b"", headers=headers)
    assert answer.status_code == 413


def test_slow_body_times_out(serve: Any) -> None:
    assert endless(serve(body_seconds=0.2).app, b"", 0.05) == 408


def test_every_response_has_security_headers(service: Any) -> None:
    for path in ("/", "/api/v2/board", "/api/v2/nothing", "/api/v2/openapi.json"):
        answer = service.client.get(path)
        for name in SECURITY_HEADERS:
            assert name in answer.headers
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]


def test_logs_hold_no_secret(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    admin = service.bearer("root", "admin")
    made = service.client.post(
        "/api/v2/admin/tokens", json={"name": "new", "scope": "submit"}, headers=admin
    ).json()["token"]
    service.announce(b"one")
    service.send(1, 0, b"one")
    for token in (made, *service.tokens.values()):
        service.client.get(f"/api/v2/board?token={token}")
        service.client.get("/api/v2/audit", headers={"Authorization": f"Bearer {token}"})
        service.client.get("/api/v2/audit", headers={"Authorization": f"Basic {token}"})
        service.client.get("/api/v2/audit", headers={"Authorization": f"Bearer {token}x"})
    every = (f"{one.msg} {one.args} {one.exc_text}" for one in caplog.records)
    logged = "\n".join([caplog.text, *every])
    ours = [record for record in caplog.records if record.name == "tasteshift.board.access"]
    assert len(ours) >= 12
    assert "GET '/api/v2/audit' 200" in logged
    for token in (made, *service.tokens.values()):
        assert token.partition(".")[2] not in "\n".join(r.getMessage() for r in ours)
        assert f"Bearer {token}" not in logged


def test_path_cannot_inject_log_lines(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tasteshift.board.access")
    service.client.get("/api/v2/a%0a1.2.3.4%20GET%20/admin%1b[2J")
    (line,) = [r.getMessage() for r in caplog.records if r.name == "tasteshift.board.access"]
    assert line.isprintable()


def test_internal_errors_reveal_nothing(
    service: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    value = "something-" + "secret"

    def broken(suite: Any) -> Any:
        raise RuntimeError(value)

    monkeypatch.setattr(service.state.rows, "of", broken)
    answer = service.client.get("/api/v2/board")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert value not in answer.text
    assert "'/api/v2/board' failed: RuntimeError" in caplog.text
    assert "in broken" in caplog.text
    assert value not in caplog.text
    assert service.client.get("/api/v2/suites").status_code == 200


@pytest.mark.parametrize(
    "error",
    [OperationalError("SELECT", {"token": "s3cret"}, Exception("locked")), PoolTimeout("s3cret")],
)
def test_database_errors_ask_to_retry(
    service: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Any
) -> None:
    def unavailable(suite: Any) -> Any:
        raise error

    monkeypatch.setattr(service.state.rows, "of", unavailable)
    answer = service.client.get("/api/v2/board")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "s3cret" not in answer.text + caplog.text


def test_rates_are_thread_safe() -> None:
    rates, through = RateLimiter(1.0, 100, lambda: 0.0), []
    guard = RequestGuard(lambda *_: None, Limits(), rates)  # type: ignore[arg-type, return-value]

    def ask() -> None:
        for _ in range(50):
            through.append(guard._refusal({"headers": [], "method": "GET"}, "here") is None)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(through) == 100
