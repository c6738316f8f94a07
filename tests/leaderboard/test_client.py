"""Submitting over a network: the same run arrives once, whatever breaks on the way."""

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
from tasteshift.leaderboard.server.app import make_app
from tasteshift.leaderboard.store.database import Board
from tasteshift.leaderboard.store.files import archive_path
from tasteshift.leaderboard.store.queue import claim, conclude
from tasteshift.leaderboard.store.results import result_of
from tasteshift.leaderboard.store.submissions import submission
from tasteshift.leaderboard.store.tokens import issue
from tasteshift.leaderboard.verification.verify import verify_archive

Runs = Callable[[str], Path]


class Service:
    """A real board behind a socket on loopback, whose queue is worked off when it is asked to."""

    def __init__(self, board: Board, url: str) -> None:
        self.board, self.url = board, url
        self.token = issue(board, "ada", "submit")
        self.refusal = ""
        self.slept: list[float] = []

    def work(self, seconds: float = 0.0) -> None:
        """Stands in for `time.sleep`: give the next in the queue its verdict."""
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

    def submit(self, run: Path, transport: httpx.BaseTransport | None = None, **how: Any) -> Any:
        how = {"token": self.token, "sleep": self.work} | how
        return submit_remote(run, self.url, transport=transport, **how)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(client, "PIECE", 2_000)
    app = make_app(tmp_path / "board.db")
    config = uvicorn.Config(app, port=0, log_level="critical", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Service(app.state.desk.board, f"http://127.0.0.1:{port}")
    server.should_exit = True
    thread.join()


class Breaking(httpx.BaseTransport):
    """The network, with a say on every request: before it goes out, and on its answer."""

    def __init__(
        self,
        before: Callable[[httpx.Request], httpx.Response | None] = lambda request: None,
        after: Callable[[httpx.Request], None] = lambda request: None,
    ) -> None:
        self._true = httpx.HTTPTransport()
        self._before, self._after = before, after
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        instead = self._before(request)
        if instead is not None:
            return instead
        answer = self._true.handle_request(request)
        answer.read()
        self._after(request)
        return answer

    def close(self) -> None:
        self._true.close()

    def pieces(self) -> int:
        return sum(request.method == "PATCH" for request in self.requests)


def test_a_run_is_checked_here_sent_and_believed_there(
    service: Service, runs: Runs, tmp_path: Path
) -> None:
    told: list[str] = []
    ticks: list[str] = []
    counts: list[int] = []

    @contextmanager
    def progress(count: int) -> Iterator[Callable[[str], None]]:
        counts.append(count)
        yield ticks.append

    network = Breaking()
    receipt = service.submit(runs("popular"), network, upload=progress, tell=told.append)
    assert receipt.accepted
    assert receipt.new
    assert receipt.line().startswith(f"#{receipt.id} popular on board-test@1: 24 lives of ")
    assert counts == [len(ticks)] == [network.pieces()]
    assert len(ticks) > 3
    assert [line.split()[1] for line in told] == ["receiving:", "queued:", "working:", "accepted:"]
    about = submission(service.board, receipt.id).about
    kept = archive_path(service.board, about["sha256"]).read_bytes()
    assert len(kept) == about["size"]
    assert kept == b"".join(r.content for r in network.requests if r.method == "PATCH")
    assert fetch_rows(service.url) == board_rows(tmp_path / "board.db")
    assert fetch_rows(service.url, "nobody@1") == []


def test_the_same_run_again_is_the_same_submission(service: Service, runs: Runs) -> None:
    first = service.submit(runs("popular"))
    network = Breaking()
    again = service.submit(runs("popular"), network)
    assert (again.id, again.new, again.accepted) == (first.id, False, True)
    assert network.pieces() == 0
    assert "already on the board" in again.line()
    assert again.row()["id"] == first.id


def test_a_copy_is_told_of_the_run_that_it_copies(
    service: Service, runs: Runs, tampered: Any, tamperings: dict[str, Any]
) -> None:
    first = service.submit(runs("popular"))
    tamperings["a copy under another name"].edit(tampered)
    copy = service.submit(tampered.path)
    assert copy.same_actions == first.id
    assert f"shows the same slates as #{first.id}" in copy.line()


def test_a_tampered_run_is_refused_before_anything_is_sent(
    service: Service, tampered: Any, tamperings: dict[str, Any]
) -> None:
    tamperings["an edited reward"].edit(tampered)
    network = Breaking()
    receipt = service.submit(tampered.path, network)
    assert not receipt.accepted
    assert tamperings["an edited reward"].words in receipt.line()
    assert str(tampered.path) in receipt.line()
    assert not network.requests


def test_what_the_board_refuses_is_refused(service: Service, runs: Runs) -> None:
    service.refusal = "verification took longer than 3 s"
    receipt = service.submit(runs("popular"))
    assert not receipt.accepted
    assert receipt.row()["accepted"] is False
    assert receipt.row()["reason"] == "verification took longer than 3 s"
    assert "is refused by the board: verification took longer than 3 s" in receipt.line()


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_line_loses_nothing_and_doubles_nothing(
    service: Service, runs: Runs, seed: int, tmp_path: Path
) -> None:
    """A third of all requests fail: refused, cut off on the way, or with a lost answer."""
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

    receipt = service.submit(runs("popular"), Breaking(before, after))
    assert receipt.accepted
    assert [row["id"] for row in board_rows(tmp_path / "board.db")] == [receipt.id] == [1]


def test_a_killed_client_goes_on_where_it_stopped(service: Service, runs: Runs) -> None:
    left = [4]

    def stop(request: httpx.Request) -> None:
        left[0] -= request.method == "PATCH"
        if not left[0]:
            raise KeyboardInterrupt

    first = Breaking(after=stop)
    with pytest.raises(KeyboardInterrupt):
        service.submit(runs("popular"), first)
    assert first.pieces() == 4
    second = Breaking()
    receipt = service.submit(runs("popular"), second)
    assert receipt.accepted
    assert receipt.new
    size = submission(service.board, receipt.id).about["size"]
    assert second.pieces() == -(-size // client.PIECE) - 4


def test_pauses_double_until_the_service_asks_for_one(service: Service, runs: Runs) -> None:
    troubles: list[Any] = [None, None, None, "9", "100000", "soon"]

    def before(request: httpx.Request) -> httpx.Response | None:
        if not troubles:
            return None
        asked = troubles.pop(0)
        if asked is None:
            raise httpx.ConnectTimeout("no answer")
        return httpx.Response(429, headers={"Retry-After": asked})

    assert service.submit(runs("popular"), Breaking(before)).accepted
    due = (0.5, 1.0, 2.0, 9.0, client.LONGEST_PAUSE, 16.0)
    for slept, least in zip(service.slept, due, strict=False):
        assert least <= slept <= 1.2 * least


def test_a_service_that_stays_away_is_given_up_later(service: Service, runs: Runs) -> None:
    waits: list[float] = []

    def before(request: httpx.Request) -> httpx.Response | None:
        if len(network.requests) > 1:
            raise httpx.ConnectError("gone")
        return None

    network = Breaking(before)
    with pytest.raises(InputError, match=r"gone.*goes on where it stopped"):
        service.submit(runs("popular"), network, sleep=waits.append)
    assert len(network.requests) == 1 + client.TRIES == len(waits) + 2


def test_a_service_that_is_not_there_is_given_up(service: Service, runs: Runs) -> None:
    waits: list[float] = []

    def before(request: httpx.Request) -> httpx.Response | None:
        raise httpx.ConnectError("nobody\nlistens")

    network = Breaking(before)
    with pytest.raises(InputError, match=r"ConnectError: nobody listens") as caught:
        service.submit(runs("popular"), network, sleep=waits.append)
    assert len(network.requests) == client.FIRST_TRIES == len(waits) + 1
    assert service.token not in str(caught.value)


@pytest.mark.parametrize("token", ["wrong", "", "two\nlines", "käse"])
def test_a_token_that_is_none_is_no_secret_to_print(
    service: Service, runs: Runs, token: str
) -> None:
    with pytest.raises(InputError, match="token") as caught:
        service.submit(runs("popular"), token=token)
    assert len(token) < 4 or token not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["board.db", "ftp://host", "http://", "http://user:pass@host", "http://host?x=1"]
)
def test_what_is_no_address_is_said_at_once(runs: Runs, url: str) -> None:
    with pytest.raises(InputError, match="is no address of a board"):
        submit_remote(runs("popular"), url, "token")


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (httpx.Response(200, text="<html>hello"), "does not answer as a board does"),
        (httpx.Response(200, json=[1]), "does not answer as a board does"),
        (httpx.Response(200, json={"id": 1, "offset": "x"}), "does not answer as a board does"),
        (httpx.Response(200, json={"id": 1, "offset": 0, "state": "receiving"}), "answers 200"),
        (httpx.Response(404, text="nothing"), "answers 404: Not Found"),
        (httpx.Response(409, json={"detail": "no\x1b[2J\nway"}), r"409: no\\x1b\[2J way"),
        (httpx.Response(301, headers={"Location": "https://b"}), "use the address https://b"),
        (httpx.Response(413, json={"detail": "too large"}), "answers 413: too large"),
    ],
)
def test_a_stranger_that_answers_is_not_believed(
    runs: Runs, answer: httpx.Response, named: str
) -> None:
    stranger = httpx.MockTransport(lambda request: answer)
    with pytest.raises(InputError, match=named) as caught:
        submit_remote(
            runs("popular"), "http://host", "s3cret", transport=stranger, sleep=lambda s: None
        )
    assert "s3cret" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_service_that_never_agrees_where_it_is_is_given_up(runs: Runs) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(201, json={"id": 1, "offset": 0, "state": "receiving"})
        return httpx.Response(409, json={"detail": "again", "offset": 0})

    with pytest.raises(InputError, match="answers 409: again"):
        submit_remote(
            *(runs("popular"), "http://host", "token"), transport=httpx.MockTransport(answer)
        )
