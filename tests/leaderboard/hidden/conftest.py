"""A small suite to be played on hidden seeds, and a board in memory that speaks the protocol."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tasteshift.agents import make_agent
from tasteshift.errors import InputError
from tasteshift.leaderboard.hidden.attempt import Attempt
from tasteshift.leaderboard.hidden.keys import world_key
from tasteshift.leaderboard.hidden.messages import (
    checked_turn,
    observation_message,
    turn_message,
    world_message,
)
from tasteshift.leaderboard.hidden.scoring import conclude_attempt
from tasteshift.suites.engine.in_process_agent import InProcessAgent
from tasteshift.suites.suite import SUITES, Suite, Task

SECRET = bytes(range(32))
ATTEMPT_ID = "0f" * 16
SUITE = Suite(
    name="hidden-test",
    version=1,
    summary="three small worlds",
    tasks=(
        Task(
            "hidden-test/first", "synthetic:60", "minor-profile", 4, 3, 1, 2, language_models=True
        ),
        Task(
            "hidden-test/shift",
            "synthetic:60",
            "abrupt-shift",
            4,
            4,
            3,
            2,
            counterfactual=("shift",),
        ),
        Task("hidden-test/poisoned", "synthetic:60", "poisoned-items", 4, 2, 2, 2),
    ),
    seeds=2,
)


@pytest.fixture(scope="module", autouse=True)
def hidden_suite() -> Iterator[Suite]:
    SUITES.register(SUITE.name, SUITE)
    yield SUITE
    del SUITES._entries[SUITE.name]


@pytest.fixture(scope="session")
def secret() -> bytes:
    return SECRET


@pytest.fixture
def new_attempt(hidden_suite: Suite) -> Callable[..., Attempt]:
    """Attempts at the small suite: the same key, the same attempt."""

    def make(secret: bytes = SECRET, attempt_id: str = ATTEMPT_ID, **more: Any) -> Attempt:
        return Attempt(hidden_suite.id, world_key(secret, attempt_id), attempt_id, **more)

    return make


def played(attempt: Attempt, agent: Any) -> dict[int, list[dict[str, Any]]]:
    """An agent's answers to all lives, asked without a network between."""
    turns: dict[int, list[dict[str, Any]]] = {}
    prepared = None
    for life, world in enumerate(attempt.lives):
        if world != prepared:
            agent.prepare(attempt.public(world))
            prepared, player = world, InProcessAgent(agent)
        key = ("", life, 0, "agent")
        player.reset()
        player.open(key, attempt.brief(life))
        turns[life] = []
        while (now := attempt.observe(life, turns[life])) is not None:
            turns[life].append(checked_turn(turn_message(player.decide([(key, now)])[0])))
    return turns


@pytest.fixture(scope="session")
def play() -> Callable[[Attempt, Any], dict[int, list[dict[str, Any]]]]:
    return played


ABOUT = {"agent": "popular", "agent_config": {}, "decoder": "", "pair": ""}


@pytest.fixture(scope="session")
def about() -> dict[str, Any]:
    return dict(ABOUT)


@pytest.fixture(scope="module")
def concluded(hidden_suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One attempt of `popular`: its answers, its run directory, and what may be kept of it."""
    attempt = Attempt(hidden_suite.id, world_key(SECRET, ATTEMPT_ID), ATTEMPT_ID)
    turns = played(attempt, make_agent("popular"))
    folder = tmp_path_factory.mktemp("concluded") / "run"
    run = conclude_attempt(attempt, ABOUT, turns, folder)
    return SimpleNamespace(attempt=attempt, turns=turns, folder=folder, run=run)


@dataclass
class MemoryBoard:
    """The protocol of docs/hidden-seed.md over a dictionary; `disturb` may break any exchange.

    disturb  called with the request and, after it was served, with the answer too; may raise, or
             return another answer
    """

    make: Callable[[], Attempt]
    disturb: Callable[[httpx.Request, httpx.Response | None], httpx.Response | None]
    turns: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    sent: list[bytes] = field(default_factory=list)
    state: str = "playing"

    def restart(self) -> None:
        """What a killed server forgets; the answers were stored."""
        self._attempt = self.make()

    def __post_init__(self) -> None:
        self.restart()

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._exchange)

    def _exchange(self, request: httpx.Request) -> httpx.Response:
        refused = self.disturb(request, None)
        if refused is not None:
            return refused
        answer = self._served(request)
        self.sent.append(answer.content)
        return self.disturb(request, answer) or answer

    def _served(self, request: httpx.Request) -> httpx.Response:
        if request.headers["Authorization"] != "Bearer token":
            return httpx.Response(401, json={"detail": "no such token"})
        _, _, _, _, *rest = request.url.path.split("/")
        body = json.loads(request.content) if request.content else None
        attempt = self._attempt
        match request.method, rest:
            case "POST", []:
                self.keys.add(request.headers["Idempotency-Key"])
                self.about = body
                return self._answer(
                    attempt=attempt.name,
                    state=self.state,
                    worlds=[{"world": k, "task": w.name} for k, w in enumerate(attempt.worlds)],
                    lives=[{"life": k, "world": w} for k, w in enumerate(attempt.lives)],
                )
            case "POST", [_, "finish"]:
                self.state = "queued"
                return self._answer(attempt=attempt.name, state=self.state)
            case "GET", [_, "worlds", world]:
                return self._answer(**world_message(attempt.public(int(world))))
            case "GET", [_, "worlds", world, "posters", item]:
                picture = attempt.poster(int(world), int(item.removesuffix(".png")))
                return httpx.Response(200, content=picture)
            case "GET", [_, "lives", life]:
                given = self.turns.get(int(life), [])
                return self._answer(**attempt.standing(int(life), given))
            case "PUT", [_, "lives", life, "turns", turn]:
                return self._turn(int(life), int(turn), body)
        return httpx.Response(404, json={"detail": "no such place"})

    def _turn(self, life: int, turn: int, body: Any) -> httpx.Response:
        given = self.turns.setdefault(life, [])
        if turn > len(given):
            return httpx.Response(409, json={"detail": f"turn {len(given)} comes first"})
        if turn == len(given):
            try:
                given.append(checked_turn(body))
            except InputError as error:
                return httpx.Response(422, json={"detail": str(error)})
        follows = self._attempt.observe(life, given[: turn + 1])
        return self._answer(observation=observation_message(follows))

    def _answer(self, **content: Any) -> httpx.Response:
        return httpx.Response(200, content=json.dumps(content, allow_nan=False).encode())


@pytest.fixture
def memory_board(new_attempt: Callable[..., Attempt]) -> Callable[..., MemoryBoard]:
    """A board in memory; it may be told how to break."""

    def make(disturb: Any = None, **more: Any) -> MemoryBoard:
        return MemoryBoard(lambda: new_attempt(**more), disturb or (lambda request, answer: None))

    return make


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "attempt"
