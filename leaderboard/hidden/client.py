"""Reference client: lets any `Agent` play an attempt over HTTP, and resume it after a break.

The server stores the answers; after a break this side restores the agent's memory by showing it
the earlier observations and dropping its answers. An agent that depends on anything but its seed
and its observations (a clock, a remote model) may then remember other answers than it gave; the
stored ones stand.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import loads
from typing import TYPE_CHECKING, Any

from ...agents.protocols import AnyAgent, PrivilegedAgent, TextAgent, TextModel
from ...errors import AgentError, InputError
from ...records import AGENT, Brief, EpisodeKey, Observation
from ...storage import write_atomically
from ...suites.engine.decision_source import Decision
from ...suites.engine.in_process_agent import InProcessAgent
from ...suites.engine.pickling import pickled
from ...suites.engine.progress import ProgressFactory, no_progress
from ...suites.evaluate import check_agent
from ...suites.serialization import canonical_json
from ..client import BoardClient
from .messages import answer_message, brief_from, observation_from, task_data_from

if TYPE_CHECKING:
    import httpx

STATE_FILE = "attempt.json"
UNUSABLE = frozenset({413, 422})
"""Status codes for an answer that is too large or malformed."""


@dataclass(frozen=True)
class Entry:
    """What an attempt declares, beside the agent itself.

    season             name of the season
    simulator_trained  whether the agent was trained on this simulator; the board shows it
    hardware           what the agent runs on; the board compares latencies within one class only
    """

    season: str
    simulator_trained: bool
    hardware: str = ""


def play_hidden(
    agent: AnyAgent,
    service: BoardClient,
    entry: Entry,
    *,
    out: str | Path,
    batch_size: int = 1,
    resume: bool = False,
    progress: ProgressFactory | None = None,
) -> dict[str, Any]:
    """Play one attempt on the board behind `service` and finish it.

    service     with a token of scope submit, which is stored nowhere
    out         folder for the file `attempt.json`, from which `resume` continues
    batch_size  episodes that a `BatchAgent` plays at once
    progress    as in `evaluate`: called with the number of episodes

    Returns the server's message about the finished attempt, with its id as ``attempt``. Every
    answer is final and a started attempt counts, whatever happens to it; after a kill of either
    side at any instant, `resume` continues it. Raises InputError for what the caller can correct,
    and AgentError where the agent cannot be prepared or cloned.
    """
    check_agent(agent)
    if isinstance(agent, PrivilegedAgent):
        raise InputError(
            f"agent {agent.name!r} needs ground truth, which no server sends; play another agent"
        )
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, not {batch_size}")
    recipe = pickled(agent)
    request = asdict(entry) | _described(agent)
    state = _load_state(Path(out), service.url, json.loads(canonical_json(request)), resume)
    started = _start(service, Path(out), state["key"], request, keep=resume)
    path = f"/attempts/{started['attempt']}"
    client = AttemptClient(service, path, recipe)
    remaining = started["episodes"] if started["state"] == "playing" else []
    with (progress or no_progress)(len(remaining)) as advance:
        for task in started["tasks"]:
            episodes = [one["episode"] for one in remaining if one["task"] == task["task"]]
            for first in range(0, len(episodes), batch_size):
                batch = episodes[first : first + batch_size]
                client.play(task["task"], batch)
                for _ in batch:
                    advance(task["name"])
    finished = _json(service, service.request("POST", f"{path}/finish"))
    return {**finished, "attempt": started["attempt"]}


@dataclass
class EpisodeState:
    """An episode as the server describes it.

    turn         index of the next answer
    history      observations before the earlier answers
    observation  the current one; None once the episode is over
    """

    key: EpisodeKey
    path: str
    turn: int
    history: list[Observation]
    observation: Observation | None
    brief: Brief


class AttemptClient:
    """Plays the episodes of one attempt, with the agent prepared for one task at a time.

    path    of the attempt on the server
    recipe  the pickled agent, loaded anew for every task
    """

    def __init__(self, service: BoardClient, path: str, recipe: bytes) -> None:
        self._service, self._path, self._recipe = service, path, recipe
        self._task: int | None = None
        self._agent: InProcessAgent

    def play(self, task: int, episodes: Sequence[int]) -> None:
        """Play some episodes of a task to their ends, in step."""
        states = [state for state in map(self._state, episodes) if state.observation is not None]
        if not states:
            return
        agent = self._prepared(task)
        agent.reset()
        for state in states:
            agent.open(state.key, state.brief)
            for earlier in state.history:
                agent.decide([(state.key, earlier)])
        while due := [(one, one.observation) for one in states if one.observation is not None]:
            decisions = agent.decide([(state.key, observation) for state, observation in due])
            for (state, _), decision in zip(due, decisions, strict=True):
                self._answer(state, decision)
        for state in states:
            agent.close(state.key)

    def _answer(self, state: EpisodeState, decision: Decision) -> None:
        """Send an answer; one that the board refuses counts as unusable, as in every run."""
        path = f"{state.path}/turns/{state.turn}"
        response = self._service.request("PUT", path, json=answer_message(decision))
        if response.status_code in UNUSABLE:
            decision = Decision(None, "invalid", seconds=decision.seconds)
            response = self._service.request("PUT", path, json=answer_message(decision))
        message = _json(self._service, response, "observation")
        state.turn, state.observation = state.turn + 1, observation_from(message["observation"])

    def _state(self, episode: int) -> EpisodeState:
        path = f"{self._path}/episodes/{episode}"
        response = self._service.request("GET", path)
        message = _json(self._service, response, "turn", "brief", "history", "observation")
        history = map(observation_from, message["history"])
        return EpisodeState(
            key=("", episode, 0, AGENT),
            path=path,
            turn=message["turn"],
            history=[one for one in history if one is not None],
            observation=observation_from(message["observation"]),
            brief=brief_from(message["brief"]),
        )

    def _prepared(self, task: int) -> InProcessAgent:
        """The agent, prepared for this task and no other."""
        if self._task != task:
            path = f"{self._path}/tasks/{task}"
            public = task_data_from(self._service.json("GET", path), self._fetch_posters(path))
            agent: AnyAgent = loads(self._recipe)
            try:
                agent.prepare(public)
            except InputError:
                raise
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
                raise AgentError(f"the agent cannot be prepared: {what}") from error
            self._task, self._agent = task, InProcessAgent(agent)
        return self._agent

    def _fetch_posters(self, path: str) -> Callable[[int], bytes]:
        def fetch(item: int) -> bytes:
            response = self._service.request("GET", f"{path}/posters/{item}.png")
            if not response.is_success:
                raise self._service.problem(response)
            return response.content

        return fetch


def _json(service: BoardClient, response: httpx.Response, *names: str) -> dict[str, Any]:
    """The JSON object of a successful response; raises InputError unless it has these names."""
    if not response.is_success:
        raise service.problem(response)
    try:
        message = response.json()
    except ValueError:
        message = None
    if not isinstance(message, dict) or not message.keys() >= set(names):
        raise InputError(f"{service.url} does not respond like a board; check the address")
    return message


def _start(
    service: BoardClient, out: Path, key: str, request: dict[str, Any], *, keep: bool
) -> dict[str, Any]:
    """Start or find the attempt; the state file of a refused one is removed unless `keep`."""
    headers = {"Idempotency-Key": key}
    response = service.request("POST", "/attempts", json=request, headers=headers)
    if 400 <= response.status_code < 500 and not keep:
        (out / STATE_FILE).unlink()
    return _json(service, response, "attempt", "state", "tasks", "episodes")


def _described(agent: AnyAgent) -> dict[str, Any]:
    text = isinstance(agent, TextAgent)
    model = agent.text_model() if isinstance(agent, TextAgent) else TextModel("", "", "")
    described = {
        "agent": agent.name,
        "agent_config": agent.config(),
        "decoder": model.decoder,
        "pair": model.pair,
    }
    return {**described, "only_language_models": True} if text else described


def _load_state(out: Path, url: str, request: dict[str, Any], resume: bool) -> dict[str, Any]:
    """The state file of the attempt in `out`; written before the first request, so that a kill
    loses no attempt.
    """
    file, new = out / STATE_FILE, {"url": url, "request": request}
    if not file.exists():
        state = {**new, "key": secrets.token_hex(16)}
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_atomically(file, json.dumps(state, indent=2))
        except OSError as error:
            raise InputError(
                f"cannot write to {out} ({error.strerror}); choose another --out"
            ) from None
        return state
    if not resume:
        raise InputError(f"{out} holds an attempt; add --resume to continue it")
    try:
        state = json.loads(file.read_text())
        known = {name: state[name] for name in new}
        str(state["key"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{file} cannot be read; choose another --out") from None
    if known != new:
        raise InputError(
            f"{out} holds an attempt of another agent, season or board; choose another --out"
        )
    return dict(state)
