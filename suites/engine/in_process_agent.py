"""Who is asked for decisions: an agent, with a session for every life under way."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from math import isfinite
from operator import index
from pickle import loads
from time import perf_counter
from typing import Any, Protocol

from ...agents.protocols import (
    Agent,
    AnyAgent,
    BatchAgent,
    PrivilegedAgent,
    Session,
    replies_of,
)
from ...envs.reference.ground_truth import GroundTruth
from ...envs.simulator.training_log import public_data
from ...envs.simulator.world import World
from ...errors import AgentError
from ...records import Action, Brief, Claim, Observation
from .episode import Decision, Key

LONGEST_TEXT = 1000
"""Characters of a claim's field or value."""


class DecisionSource(Protocol):
    """An agent, here or in another process, as the drivers in `play` use it."""

    def prepare(self, world: World) -> None:
        """Let the agent study a world's public half; at once where it has done so already."""
        ...

    def begin(self) -> None:
        """Forget whoever was served before: go on with a clone of the agent as prepared."""
        ...

    def open(self, key: Key, brief: Brief, truth: GroundTruth) -> None:
        """Begin a session for one life."""
        ...

    def decide(self, asked: Sequence[tuple[Key, Observation]]) -> list[Decision]:
        """One decision for each of the lives, which are different ones."""
        ...

    def close(self, key: Key) -> None:
        """End a session."""
        ...


class InProcessAgent:
    """An agent in this process.

    trusted  let its exceptions through: it is one of ours, so they are bugs; otherwise they are
             counted, and the life goes on
    recipe   the pickled agent, from which every world after the first gets a new one: what was
             prepared before must not matter to a run that is resumed
    """

    def __init__(self, agent: AnyAgent, *, trusted: bool = False, recipe: bytes = b"") -> None:
        self._agent, self._recipe = agent, recipe
        self._trusted = trusted
        self._clone: AnyAgent = agent
        self._prepared_for: tuple[Any, ...] = ()
        self._sessions: dict[Key, Session] = {}
        self._failed: dict[Key, str] = {}

    def prepare(self, world: World) -> None:
        """See `DecisionSource`."""
        scenario = world.scenario
        needed = (
            *(world.catalog.name, world.catalog.hash, world.slate_size),
            *(scenario.cold_users, scenario.cold_items),
        )
        if self._prepared_for != needed:
            if self._prepared_for and self._recipe:
                self._agent = loads(self._recipe)
            self._agent.prepare(public_data(world))
            self._prepared_for = needed

    def begin(self) -> None:
        """See `DecisionSource`. Yardsticks learn nothing, so they need no clone."""
        if isinstance(self._agent, PrivilegedAgent):
            self._clone = self._agent
            return
        try:
            self._clone = deepcopy(self._agent)
        except Exception as error:
            raise AgentError(
                f"agent {self._agent.name!r} cannot be cloned for every user ({_line(error)}); "
                "give it a method __deepcopy__"
            ) from error

    def open(self, key: Key, brief: Brief, truth: GroundTruth | None = None) -> None:
        """See `DecisionSource`; `truth` is for privileged agents alone."""
        try:
            if isinstance(self._clone, PrivilegedAgent):
                assert truth is not None
                self._sessions[key] = self._clone.start_with_ground_truth(brief, truth)
            elif isinstance(self._clone, Agent):
                self._sessions[key] = self._clone.start(brief)
        except Exception as error:
            if self._trusted:
                raise
            self._failed[key] = f"start: {_line(error)}"

    def decide(self, asked: Sequence[tuple[Key, Observation]]) -> list[Decision]:
        """See `DecisionSource`; a `BatchAgent` is asked for all lives at once."""
        agent, failed = self._clone, any(key in self._failed for key, _ in asked)
        if isinstance(agent, BatchAgent) and len(asked) > 1 and not failed:
            return self._decide_together(agent, asked)
        return [self._decide(key, observation) for key, observation in asked]

    def close(self, key: Key) -> None:
        """See `DecisionSource`."""
        self._sessions.pop(key, None)
        self._failed.pop(key, None)

    def _decide(self, key: Key, observation: Observation) -> Decision:
        if key in self._failed:
            return Decision(None, "raised", self._failed[key], memory=peak_memory())
        session = self._sessions[key]
        heard = len(replies_of(session))
        start = perf_counter()
        try:
            raw = session.act(observation)
        except Exception as error:
            if self._trusted:
                raise
            return Decision(None, "raised", _line(error), (), perf_counter() - start, peak_memory())
        seconds = perf_counter() - start
        return _decision(raw, session, heard, seconds)

    def _decide_together(
        self, agent: BatchAgent, asked: Sequence[tuple[Key, Observation]]
    ) -> list[Decision]:
        sessions = [self._sessions[key] for key, _ in asked]
        heard = [len(replies_of(session)) for session in sessions]
        start = perf_counter()
        try:
            raw = list(agent.act_batch(sessions, [observation for _, observation in asked]))
            if len(raw) != len(asked):
                raise ValueError(f"act_batch gave {len(raw)} actions for {len(asked)} lives")
        except Exception as error:
            if self._trusted:
                raise
            seconds = (perf_counter() - start) / len(asked)
            failed = Decision(None, "raised", _line(error), (), seconds, peak_memory())
            return [failed] * len(asked)
        seconds = (perf_counter() - start) / len(asked)
        return [
            _decision(action, session, before, seconds)
            for action, session, before in zip(raw, sessions, heard, strict=True)
        ]


def plain_action(raw: Any) -> Action | None:
    """An action made of plain Python values; None where it is not even of the right shape."""
    try:
        claims = tuple(
            Claim(index(claim.item), _plain_text(claim.field), _plain_value(claim.value))
            for claim in getattr(raw, "claims", ())
        )
        profile = tuple(float(value) for value in getattr(raw, "profile", ()))
        slate = tuple(index(item) for item in raw.slate)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None
    small = all(abs(item) < 2**62 for item in (*slate, *(claim.item for claim in claims)))
    return Action(slate, claims, profile) if small and all(map(isfinite, profile)) else None


def peak_memory() -> int:
    """The most bytes that this process ever held.

    Linux tells it of this program alone; ru_maxrss, which stands in elsewhere, may be what the
    process that started this one held (it counts kilobytes but on macOS).
    """
    with suppress(OSError), open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _decision(raw: Any, session: Session, heard: int, seconds: float) -> Decision:
    action = plain_action(raw)
    replies = tuple(replies_of(session)[heard:])
    if action is None:
        error = f"{type(raw).__name__} is no usable Action"
        return Decision(None, "invalid", error, replies, seconds, peak_memory())
    return Decision(action, "", "", replies, seconds, peak_memory())


def _plain_text(value: Any) -> str:
    """Text that can be written down; raises ValueError for what no encoding has."""
    text = str(value)
    text.encode()
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a claim holds at most {LONGEST_TEXT} characters")
    return text


def _plain_value(value: Any) -> str | float | bool:
    if isinstance(value, str):
        return _plain_text(value)
    if isinstance(value, bool):
        return value
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, bool):
        return number
    if not isinstance(number, (int, float)) or not isfinite(number):
        raise TypeError("a claim's value is a finite number, a string or a boolean")
    return float(number)


def _line(error: BaseException) -> str:
    """One line that names an exception."""
    text = " ".join(str(error).encode("utf-8", "replace").decode().split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
