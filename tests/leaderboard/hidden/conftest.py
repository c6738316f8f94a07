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
from tasteshift.leaderboard.hidden.messages import (
    answer_from,
    answer_message,
    observation_message,
    task_data_message,
)
from tasteshift.leaderboard.hidden.scoring import conclude_attempt
from tasteshift.leaderboard.keys import attempt_key
from tasteshift.suites.engine.in_process_agent import InProcessAgent
from tasteshift.suites.suite import SUITES, Suite, Task

SECRET = bytes(range(32))
ATTEMPT_ID = "0f" * 16
SUITE = Suite(
    name="hidden-test",
    version=1,
    summary="three small tasks",
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
Answers = dict[int, list[dict[str, Any]]]


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
    """Creates attempts at the small suite; the same key gives the same attempt."""

    def make(secret: bytes = SECRET, attempt_id: str = ATTEMPT_ID, **more: Any) -> Attempt:
        return Attempt(hidden_suite.id, attempt_key(secret, attempt_id), attempt_id, **more)

    return make


def play_locally(attempt: Attempt, agent: Any) -> Answers:
    """An agent's answers to all episodes, without a network between."""
    answers: Answers = {}
    prepared = None
    for episode, task in enumerate(attempt.episode_tasks):
        if task != prepared:
            agent.prepare(attempt.public(task))
            prepared, source = task, InProcessAgent(agent)
        key = ("", episode, 0, "agent")
        source.reset()
        source.open(key, attempt.brief(episode))
        answers[episode] = []
        while (now := attempt.observe(episode, answers[episode])) is not None:
            decision = source.decide([(key, now)])[0]
            answers[episode].append(answer_from(answer_message(decision)).stored())
    return answers


@pytest.fixture(scope="session")
def play() -> Callable[[Attempt, Any], Answers]:
    return play_locally


ABOUT = {"agent": "popular", "agent_config": {}, "decoder": "", "pair": ""}


@pytest.fixture(scope="session")
def about() -> dict[str, Any]:
    return dict(ABOUT)


@pytest.fixture(scope="module")
def concluded(hidden_suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One scored attempt of `popular`: its answers, run directory and verified run."""
    attempt = Attempt(hidden_suite.id, attempt_key(SECRET, ATTEMPT_ID), ATTEMPT_ID)
    answers = play_locally(attempt, make_agent("popular"))
    folder = tmp_path_factory.mktemp("concluded") / "run"
    run = conclude_attempt(attempt, ABOUT, answers, folder)
    return SimpleNamespace(attempt=attempt, answers=answers, folder=folder, run=run)


@dataclass
class MemoryBoard:
    """The protocol of docs/hidden-seed.md on a dictionary; `disturb` may break any exchange.

    disturb  called with the request and, after it was served, with the response too; may raise,
             or return another response
    """

    make: Callable[[], Attempt]
    disturb: Callable[[httpx.Request, httpx.Response | None], httpx.Response | None]
    answers: Answers = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    sent: list[bytes] = field(default_factory=list)
    state: str = "playing"

    def restart(self) -> None:
        """Drop what a killed server forgets; stored answers stay."""
        self._attempt = self.make()

    def __post_init__(self) -> None:
        self.restart()

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._exchange)

    def _exchange(self, request: httpx.Request) -> httpx.Response:
        refused = self.disturb(request, None)
        if refused is not None:
            return refused
        response = self._served(request)
        self.sent.append(response.content)
        return self.disturb(request, response) or response

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
                return self._json(
                    attempt=attempt.name,
                    state=self.state,
                    tasks=[{"task": k, "name": one.name} for k, one in enumerate(attempt.tasks)],
                    episodes=[
                        {"episode": k, "task": task} for k, task in enumerate(attempt.episode_tasks)
                    ],
                )
            case "POST", [_, "finish"]:
                self.state = "queued"
                return self._json(attempt=attempt.name, state=self.state)
            case "GET", [_, "tasks", task]:
                return self._json(**task_data_message(attempt.public(int(task))))
            case "GET", [_, "tasks", task, "posters", item]:
                poster = attempt.poster(int(task), int(item.removesuffix(".png")))
                return httpx.Response(200, content=poster)
            case "GET", [_, "episodes", episode]:
                given = self.answers.get(int(episode), [])
                return self._json(**attempt.episode_message(int(episode), given))
            case "PUT", [_, "episodes", episode, "turns", turn]:
                return self._answer(int(episode), int(turn), body)
        return httpx.Response(404, json={"detail": "no such route"})

    def _answer(self, episode: int, turn: int, body: Any) -> httpx.Response:
        given = self.answers.setdefault(episode, [])
        if turn > len(given):
            return httpx.Response(409, json={"detail": f"turn {len(given)} comes first"})
        if turn == len(given):
            try:
                given.append(answer_from(body).stored())
            except InputError as error:
                return httpx.Response(422, json={"detail": str(error)})
        follows = self._attempt.observe(episode, given[: turn + 1])
        return self._json(observation=observation_message(follows))

    def _json(self, **content: Any) -> httpx.Response:
        return httpx.Response(200, content=json.dumps(content, allow_nan=False).encode())


@pytest.fixture
def memory_board(new_attempt: Callable[..., Attempt]) -> Callable[..., MemoryBoard]:
    """Creates boards in memory, with a function that breaks exchanges if wanted."""

    def make(disturb: Any = None, **more: Any) -> MemoryBoard:
        return MemoryBoard(lambda: new_attempt(**more), disturb or (lambda request, response: None))

    return make


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "attempt"
