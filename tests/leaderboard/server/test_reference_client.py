"""The reference client against the application: concurrent players, and refusals."""

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasteshift.agents import make_agent
from tasteshift.errors import InputError
from tasteshift.leaderboard.client import BoardClient
from tasteshift.leaderboard.hidden.client import Entry, play_hidden
from tasteshift.leaderboard.store.actions import actions_of_attempt


class Bridge(httpx.BaseTransport):
    """Transport of the reference client to an application in this process."""

    def __init__(self, service: Any) -> None:
        self.service = service

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        sent = {key: value for key, value in request.headers.items() if key != "host"}
        answer = self.service.client.request(
            request.method, request.url.raw_path.decode(), content=request.read(), headers=sent
        )
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def test_concurrent_players_get_different_catalogs(seasoned: Any, tmp_path: Path) -> None:
    service = seasoned(token_rate=1e6, token_burst=10**6, address_rate=1e6, address_burst=10**6)
    names = [f"player-{number}" for number in range(4)]
    for name in names:
        service.bearer(name)
    done: dict[str, Any] = {}

    def play(name: str) -> None:
        with BoardClient(
            "http://board.test", service.tokens[name], transport=Bridge(service)
        ) as board:
            entry = Entry("spring", simulator_trained=False)
            done[name] = play_hidden(make_agent("popular"), board, entry, out=tmp_path / name)

    players = [threading.Thread(target=play, args=(name,)) for name in names]
    for player in players:
        player.start()
    for player in players:
        player.join()
    assert sorted(done) == names
    assert {one["state"] for one in done.values()} == {"queued"}
    answers = [actions_of_attempt(service.state.board, one["submission"]) for one in done.values()]
    assert all(sorted(one) == list(range(6)) for one in answers)
    slates = {json.dumps([turn["slate"] for turn in one[5]]) for one in answers}
    assert len(slates) == 4, "popular items differ between catalogs"


def test_reference_client_shows_the_reason(seasoned: Any, tmp_path: Path) -> None:
    service = seasoned()
    service.bearer("ada")
    entry = Entry("autumn", simulator_trained=False)
    transport = Bridge(service)
    with (
        BoardClient("http://board.test", service.tokens["ada"], transport=transport) as board,
        pytest.raises(InputError, match="there is no season 'autumn'"),
    ):
        play_hidden(make_agent("popular"), board, entry, out=tmp_path / "out")
