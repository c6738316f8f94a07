"""The reference client: lets any `Agent` play an attempt over HTTP, and go on after a break.

The server knows what was answered; this side has to know it again after a break, and learns it by
showing the agent what it saw before and dropping what it answers. An agent whose answers depend
on anything but its seed and its observations (a clock, a remote model) may then hold other
thoughts than it had, but what it answered before stays.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import loads
from typing import TYPE_CHECKING, Any

from ...agents.protocols import AnyAgent, PrivilegedAgent, TextAgent, TextModel
from ...errors import AgentError, InputError
from ...records import AGENT, EpisodeKey, Observation
from ...storage import write_atomically
from ...suites.engine.decision_source import Decision
from ...suites.engine.in_process_agent import InProcessAgent
from ...suites.engine.pickling import pickled
from ...suites.engine.progress import ProgressFactory, no_progress
from ...suites.evaluate import check_agent
from ...suites.serialization import canonical_json
from ..client import BoardClient
from .messages import brief_from, observation_from, turn_message, world_from

if TYPE_CHECKING:
    import httpx

STATE = "attempt.json"
UNUSABLE = frozenset({413, 422})
"""Answers to a turn that is too large or that says what cannot be kept."""


def play_hidden(
    agent: AnyAgent,
    url: str,
    token: str,
    *,
    season: str,
    simulator_trained: bool,
    out: str | Path,
    hardware: str = "",
    together: int = 1,
    resume: bool = False,
    progress: ProgressFactory | None = None,
    transport: httpx.BaseTransport | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Play one attempt of `season` on the board at `url` and hand it in.

    token              of scope submit; kept nowhere
    simulator_trained  whether the agent was trained on this simulator; the board shows it
    out                folder for the file `attempt.json`, from which `resume` goes on
    hardware           what the agent runs on; the board shows latencies within one class only
    together           lives that are asked at once of a `BatchAgent`
    watch              as in `evaluate`: called with the number of lives
    transport          how requests travel; None for the network. sleep: waits some seconds

    Returns what the server says of the attempt that was handed in, with its id as ``attempt``.
    Every answer is final and an attempt that was begun counts, whatever becomes of it. A kill at
    any instant, of either side, leaves an attempt that `resume` takes up. Raises InputError for
    what the caller can mend, and AgentError where the agent cannot be prepared or cloned.
    """
    check_agent(agent)
    if isinstance(agent, PrivilegedAgent):
        raise InputError(f"agent {agent.name!r} is shown the truth, which no server tells")
    if together < 1:
        raise InputError(f"--together must be at least 1, not {together}")
    recipe = pickled(agent)
    asked = {"season": season, "simulator_trained": simulator_trained, "hardware": hardware}
    asked |= _described(agent)
    known = {"url": url.rstrip("/"), "asked": json.loads(canonical_json(asked))}
    with BoardClient(url, token, transport=transport, sleep=sleep) as service:
        state = _state(Path(out), known, resume)
        begun = _begin(service, Path(out), state["key"], asked, keep=resume)
        place = f"/attempts/{begun['attempt']}"
        table = _Table(service, place, recipe)
        ahead = begun["lives"] if begun["state"] == "playing" else []
        with (progress or no_progress)(len(ahead)) as tick:
            for world, one in enumerate(begun["worlds"]):
                lives = [life["life"] for life in ahead if life["world"] == world]
                for k in range(0, len(lives), together):
                    table.play(world, lives[k : k + together])
                    for _ in lives[k : k + together]:
                        tick(one["task"])
        told = _told(service, service.request("POST", f"{place}/finish"))
        return {**told, "attempt": begun["attempt"]}


@dataclass
class _Seat:
    """One life at the table: the answer that is due, and what the agent sees now."""

    key: EpisodeKey
    path: str
    turn: int
    seen: list[Observation | None]
    now: Observation | None
    brief: Any


class _Table:
    """Where the lives of one attempt are played, the agent prepared for one world at a time."""

    def __init__(self, service: BoardClient, path: str, recipe: bytes) -> None:
        self._service, self._path, self._recipe = service, path, recipe
        self._world: int | None = None
        self._player: InProcessAgent

    def play(self, world: int, lives: Sequence[int]) -> None:
        """Play lives of a world to their ends, side by side."""
        seats = [seat for seat in map(self._seat, lives) if seat.now is not None]
        if not seats:
            return
        player = self._prepared(world)
        player.reset()
        for seat in seats:
            player.open(seat.key, seat.brief)
            for before in seat.seen:
                if before is not None:
                    player.decide([(seat.key, before)])
        while asked := [(seat, seat.now) for seat in seats if seat.now is not None]:
            decisions = player.decide([(seat.key, now) for seat, now in asked])
            for (seat, _), decision in zip(asked, decisions, strict=True):
                self._answer(seat, decision)
        for seat in seats:
            player.close(seat.key)

    def _answer(self, seat: _Seat, decision: Decision) -> None:
        """Send an answer; what the board cannot take counts as unusable, as in every run."""
        place = f"{seat.path}/turns/{seat.turn}"
        answer = self._service.request("PUT", place, json=turn_message(decision))
        if answer.status_code in UNUSABLE:
            decision = Decision(None, "invalid", seconds=decision.seconds)
            answer = self._service.request("PUT", place, json=turn_message(decision))
        told = _told(self._service, answer, "observation")
        seat.turn, seat.now = seat.turn + 1, observation_from(told["observation"])

    def _seat(self, life: int) -> _Seat:
        path = f"{self._path}/lives/{life}"
        answer = self._service.request("GET", path)
        told = _told(self._service, answer, "turn", "brief", "seen", "observation")
        return _Seat(
            key=("", life, 0, AGENT),
            path=path,
            turn=told["turn"],
            seen=[observation_from(one) for one in told["seen"]],
            now=observation_from(told["observation"]),
            brief=brief_from(told["brief"]),
        )

    def _prepared(self, world: int) -> InProcessAgent:
        """A player whose agent has studied this world, and no other."""
        if self._world != world:
            path = f"{self._path}/worlds/{world}"
            public = world_from(self._service.json("GET", path), self._pictures(path))
            agent: AnyAgent = loads(self._recipe)
            try:
                agent.prepare(public)
            except InputError:
                raise
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
                raise AgentError(f"the agent cannot be prepared: {what}") from error
            self._world, self._player = world, InProcessAgent(agent)
        return self._player

    def _pictures(self, path: str) -> Callable[[int], bytes]:
        def fetch(item: int) -> bytes:
            answer = self._service.request("GET", f"{path}/posters/{item}.png")
            if not answer.is_success:
                raise self._service.problem(answer)
            return answer.content

        return fetch


def _told(service: BoardClient, answer: httpx.Response, *names: str) -> dict[str, Any]:
    """The JSON object of a successful answer; raises InputError unless it has these names."""
    if not answer.is_success:
        raise service.problem(answer)
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict) or not told.keys() >= set(names):
        raise InputError("that address does not answer as a board does; see that it is one")
    return told


def _begin(service: BoardClient, out: Path, key: str, asked: dict[str, Any], *, keep: bool) -> Any:
    """The attempt; one that was refused never was, so nothing stays of it unless told to keep."""
    answer = service.request("POST", "/attempts", json=asked, headers={"Idempotency-Key": key})
    if 400 <= answer.status_code < 500 and not keep:
        (out / STATE).unlink()
    return _told(service, answer, "attempt", "state", "worlds", "lives")


def _described(agent: AnyAgent) -> dict[str, Any]:
    text = isinstance(agent, TextAgent)
    model = agent.text_model() if isinstance(agent, TextAgent) else TextModel("", "", "")
    told = {
        "agent": agent.name,
        "agent_config": agent.config(),
        "decoder": model.decoder,
        "pair": model.pair,
    }
    return {**told, "only_language_models": True} if text else told


def _state(out: Path, new: dict[str, Any], resume: bool) -> dict[str, Any]:
    """What `out` says of the attempt; written before anything is asked, so that none is lost."""
    file = out / STATE
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
        raise InputError(f"{out} holds an attempt; add --resume to go on with it")
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
