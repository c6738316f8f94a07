"""Submitting over a network that fails: each run arrives exactly once."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tasteshift.errors import InputError
from tasteshift.leaderboard import client
from tasteshift.leaderboard.board_rows import board_rows
from tasteshift.leaderboard.client import fetch_rows, submit_remote
from tasteshift.leaderboard.server.app import create_app
from tasteshift.leaderboard.store.database import Board
from tasteshift.leaderboard.store.files import archive_path
from tasteshift.leaderboard.store.queue import claim, conclude
from tasteshift.leaderboard.store.results import result_of
from tasteshift.leaderboard.store.submissions import submission
from tasteshift.leaderboard.store.tokens import issue
from tasteshift.leaderboard.verification.verify import verify_archive

Runs = Callable[[str], Path]


class LocalServer:
    """A real board server on loopback whose queue is verified when the client sleeps."""

    def __init__(self, board: Board, url: str) -> None:
        self.board, self.url = board, url
        self.token = issue(board, "ada", "submit")
        self.refusal = ""
        self.slept: list[float] = []

    def work(self, seconds: float = 0.0) -> None:
        """Stand-in for `time.sleep`: verify the next submission in the queue."""
        self.slept.append(seconds)
        one = claim(self.board, "worker", now=time.time(), ttl=60)
        if one is None:
            return
        verdict = verify_archive(archive_path(self.board, one.about["sha256"]))
        result = result_of(verdict.run, one.id, "replayed") if verdict.run else None
        state, message = ("accepted" if result else "refused"), verdict.reason
        if self.refusal:
            state, message, result = "refused", self.refusal, None
        assert conclude(self.board, one.id, "worker", state, message, result)

    def submit(
        self, run: Path, transport: httpx.BaseTransport | None = None, **options: Any
    ) -> Any:
        options = {"token": self.token, "sleep": self.work} | options
        return submit_remote(run, self.url, transport=transport, **options)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    monkeypatch.setattr(client, "CHUNK_BYTES", 2_000)
    app = create_app(tmp_path / "board.db")
    config = uvicorn.Config(app, port=0, log_level="critical", ws="none")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield LocalServer(app.state.shared.board, f"http://127.0.0.1:{port}")
    running.should_exit = True
    thread.join()


class FaultyTransport(httpx.BaseTransport):
    """The network, with hooks that may fail before a request and after its response."""

    def __init__(
        self,
        before: Callable[[httpx.Request], httpx.Response | None] = lambda request: None,
        after: Callable[[httpx.Request], None] = lambda request: None,
    ) -> None:
        self._real = httpx.HTTPTransport()
        self._before, self._after = before, after
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        replacement = self._before(request)
        if replacement is not None:
            return replacement
        response = self._real.handle_request(request)
        response.read()
        self._after(request)
        return response

    def close(self) -> None:
        self._real.close()

    def chunks(self) -> int:
        return sum(request.method == "PATCH" for request in self.requests)


def test_a_run_is_verified_locally_and_on_the_server(
    server: LocalServer, runs: Runs, tmp_path: Path
) -> None:
    events: list[str] = []
    ticks: list[str] = []
    counts: list[int] = []

    @contextmanager
    def progress(count: int) -> Iterator[Callable[[str], None]]:
        counts.append(count)
        yield ticks.append

    network = FaultyTransport()
    receipt = server.submit(runs("popular"), network, upload=progress, on_event=events.append)
    assert receipt.accepted
    assert receipt.new
    assert receipt.line().startswith(f"#{receipt.id} popular on board-test@1: 24 episodes with ")
    assert counts == [len(ticks)] == [network.chunks()]
    assert len(ticks) > 3
    assert [line.split()[1] for line in events] == [
        "receiving:",
        "queued:",
        "working:",
        "accepted:",
    ]
    about = submission(server.board, receipt.id).about
    kept = archive_path(server.board, about["sha256"]).read_bytes()
    assert len(kept) == about["size"]
    assert kept == b"".join(r.content for r in network.requests if r.method == "PATCH")
    assert fetch_rows(server.url) == board_rows(tmp_path / "board.db")
    assert fetch_rows(server.url, "nobody@1") == []


def test_the_same_run_again_is_the_same_submission(server: LocalServer, runs: Runs) -> None:
    first = server.submit(runs("popular"))
    network = FaultyTransport()
    again = server.submit(runs("popular"), network)
    assert (again.id, again.new, again.accepted) == (first.id, False, True)
    assert network.chunks() == 0
    assert "already on the board" in again.line()
    assert again.row()["id"] == first.id


def test_a_copied_run_is_linked_to_the_original(
    server: LocalServer, runs: Runs, tampered: Any, tamperings: dict[str, Any]
) -> None:
    first = server.submit(runs("popular"))
    tamperings["a copy under another name"].edit(tampered)
    copy = server.submit(tampered.path)
    assert copy.same_actions == first.id
    assert f"has the same slates as #{first.id}" in copy.line()


def test_a_tampered_run_is_refused_before_anything_is_sent(
    server: LocalServer, tampered: Any, tamperings: dict[str, Any]
) -> None:
    tamperings["an edited reward"].edit(tampered)
    network = FaultyTransport()
    receipt = server.submit(tampered.path, network)
    assert not receipt.accepted
    assert tamperings["an edited reward"].message in receipt.line()
    assert str(tampered.path) in receipt.line()
    assert not network.requests


def test_a_refusal_by_the_server_is_reported(server: LocalServer, runs: Runs) -> None:
    server.refusal = "verification took longer than 3 s"
    receipt = server.submit(runs("popular"))
    assert not receipt.accepted
    assert receipt.row()["accepted"] is False
    assert receipt.row()["reason"] == "verification took longer than 3 s"
    assert "is refused by the board: verification took longer than 3 s" in receipt.line()


@pytest.mark.parametrize("seed", range(3))
def test_an_unreliable_network_loses_and_repeats_nothing(
    server: LocalServer, runs: Runs, seed: int, tmp_path: Path
) -> None:
    """A third of all requests fail: refused, interrupted, or with a lost response."""
    dice = random.Random(seed)

    def before(request: httpx.Request) -> httpx.Response | None:
        chance = dice.random()
        if chance < 0.1:
            raise httpx.ConnectError("connection refused")
        if chance < 0.2:
            return httpx.Response(dice.choice([429, 503]), headers={"Retry-After": "7"})
        return None

    def after(request: httpx.Request) -> None:
        if dice.random() < 0.15:
            raise httpx.ReadError("connection reset")

    receipt = server.submit(runs("popular"), FaultyTransport(before, after))
    assert receipt.accepted
    assert [row["id"] for row in board_rows(tmp_path / "board.db")] == [receipt.id] == [1]


def test_a_killed_client_continues_where_it_stopped(server: LocalServer, runs: Runs) -> None:
    left = [4]

    def stop(request: httpx.Request) -> None:
        left[0] -= request.method == "PATCH"
        if not left[0]:
            raise KeyboardInterrupt

    first = FaultyTransport(after=stop)
    with pytest.raises(KeyboardInterrupt):
        server.submit(runs("popular"), first)
    assert first.chunks() == 4
    second = FaultyTransport()
    receipt = server.submit(runs("popular"), second)
    assert receipt.accepted
    assert receipt.new
    size = submission(server.board, receipt.id).about["size"]
    assert second.chunks() == -(-size // client.CHUNK_BYTES) - 4


def test_pauses_double_unless_the_server_sends_retry_after(server: LocalServer, runs: Runs) -> None:
    troubles: list[Any] = [None, None, None, "9", "100000", "soon"]

    def before(request: httpx.Request) -> httpx.Response | None:
        if not troubles:
            return None
        retry_after = troubles.pop(0)
        if retry_after is None:
            raise httpx.ConnectTimeout("no answer")
        return httpx.Response(429, headers={"Retry-After": retry_after})

    assert server.submit(runs("popular"), FaultyTransport(before)).accepted
    due = (0.5, 1.0, 2.0, 9.0, client.MAX_PAUSE, 16.0)
    for slept, least in zip(server.slept, due, strict=False):
        assert least <= slept <= 1.2 * least


def test_a_server_that_disappears_is_given_up_after_all_tries(
    server: LocalServer, runs: Runs
) -> None:
    waits: list[float] = []

    def before(request: httpx.Request) -> httpx.Response | None:
        if len(network.requests) > 1:
            raise httpx.ConnectError("gone")
        return None

    network = FaultyTransport(before)
    with pytest.raises(InputError, match=r"gone.*continues where it stopped"):
        server.submit(runs("popular"), network, sleep=waits.append)
    assert len(network.requests) == 1 + client.MAX_TRIES == len(waits) + 2


def test_an_unreachable_server_is_given_up_early(server: LocalServer, runs: Runs) -> None:
    waits: list[float] = []

    def before(request: httpx.Request) -> httpx.Response | None:
        raise httpx.ConnectError("nobody\nlistens")

    network = FaultyTransport(before)
    with pytest.raises(InputError, match=r"ConnectError: nobody listens") as caught:
        server.submit(runs("popular"), network, sleep=waits.append)
    assert len(network.requests) == client.MAX_FIRST_TRIES == len(waits) + 1
    assert server.token not in str(caught.value)


@pytest.mark.parametrize("token", ["wrong", "", "two\nlines", "käse"])
def test_an_invalid_token_is_not_printed(server: LocalServer, runs: Runs, token: str) -> None:
    with pytest.raises(InputError, match="token") as caught:
        server.submit(runs("popular"), token=token)
    assert len(token) < 4 or token not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["board.db", "ftp://host", "http://", "http://user:pass@host", "http://host?x=1"]
)
def test_an_invalid_address_is_reported(runs: Runs, url: str) -> None:
    with pytest.raises(InputError, match="is not the address of a board"):
        submit_remote(runs("popular"), url, "token")


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(200, text="<html>hello"), "does not respond like a board"),
        (httpx.Response(200, json=[1]), "does not respond like a board"),
        (httpx.Response(200, json={"id": 1, "offset": "x"}), "does not respond like a board"),
        (httpx.Response(200, json={"id": 1, "offset": 0, "state": "receiving"}), "responds 200"),
        (httpx.Response(404, text="nothing"), "responds 404: Not Found"),
        (httpx.Response(409, json={"detail": "no\x1b[2J\nway"}), r"409: no\\x1b\[2J way"),
        (httpx.Response(301, headers={"Location": "https://b"}), "use the address https://b"),
        (httpx.Response(413, json={"detail": "too large"}), "responds 413: too large"),
    ],
)
def test_responses_of_another_server_are_reported(
    runs: Runs, response: httpx.Response, message: str
) -> None:
    other_server = httpx.MockTransport(lambda request: response)
    with pytest.raises(InputError, match=message) as caught:
        submit_remote(
            runs("popular"), "http://host", "s3cret", transport=other_server, sleep=lambda s: None
        )
    assert "s3cret" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_server_that_never_accepts_an_offset_is_given_up(runs: Runs) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(201, json={"id": 1, "offset": 0, "state": "receiving"})
        return httpx.Response(409, json={"detail": "again", "offset": 0})

    with pytest.raises(InputError, match="responds 409: again"):
        submit_remote(
            *(runs("popular"), "http://host", "token"), transport=httpx.MockTransport(answer)
        )
