"""An agent in this process as a `DecisionSource`, with a session for every open episode."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from pickle import loads
from time import perf_counter
from typing import Any

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
from ...records import Brief, EpisodeKey, Observation
from .actions import plain_action
from .decision_source import Decision


class InProcessAgent:
    """An agent in this process.

    trusted        whether its exceptions are raised, as bugs of this package; otherwise they are
                   recorded as faults, and the episode goes on
    pickled_agent  the agent before `prepare`; every environment after the first gets a new copy,
                   since what was prepared before must not matter to a run that is resumed
    """

    def __init__(
        self, agent: AnyAgent, *, trusted: bool = False, pickled_agent: bytes = b""
    ) -> None:
        self._agent, self._pickled_agent = agent, pickled_agent
        self._trusted = trusted
        self._clone: AnyAgent = agent
        self._prepared_for: tuple[Any, ...] = ()
        self._sessions: dict[EpisodeKey, Session] = {}
        self._start_errors: dict[EpisodeKey, str] = {}

    def prepare(self, world: World) -> None:
        """See `DecisionSource`."""
        scenario = world.scenario
        needed = (
            *(world.catalog.name, world.catalog.hash, world.slate_size),
            *(scenario.cold_users, scenario.cold_items),
        )
        if self._prepared_for != needed:
            if self._prepared_for and self._pickled_agent:
                self._agent = loads(self._pickled_agent)
            self._agent.prepare(public_data(world))
            self._prepared_for = needed

    def reset(self) -> None:
        """See `DecisionSource`. Reference policies learn nothing, so they need no clone."""
        if isinstance(self._agent, PrivilegedAgent):
            self._clone = self._agent
            return
        try:
            self._clone = deepcopy(self._agent)
        except Exception as error:
            raise AgentError(
                f"agent {self._agent.name!r} cannot be cloned for every user "
                f"({_one_line(error)}); give it a method __deepcopy__"
            ) from error

    def open(self, key: EpisodeKey, brief: Brief, truth: GroundTruth | None = None) -> None:
        """See `DecisionSource`."""
        try:
            if isinstance(self._clone, PrivilegedAgent):
                assert truth is not None
                self._sessions[key] = self._clone.start_with_ground_truth(brief, truth)
            elif isinstance(self._clone, Agent):
                self._sessions[key] = self._clone.start(brief)
        except Exception as error:
            if self._trusted:
                raise
            self._start_errors[key] = f"start: {_one_line(error)}"

    def decide(self, asked: Sequence[tuple[EpisodeKey, Observation]]) -> list[Decision]:
        """See `DecisionSource`; a `BatchAgent` gets all observations in one call."""
        agent, failed = self._clone, any(key in self._start_errors for key, _ in asked)
        if isinstance(agent, BatchAgent) and len(asked) > 1 and not failed:
            return self._decide_batch(agent, asked)
        return [self._decide(key, observation) for key, observation in asked]

    def close(self, key: EpisodeKey) -> None:
        """See `DecisionSource`."""
        self._sessions.pop(key, None)
        self._start_errors.pop(key, None)

    def _decide(self, key: EpisodeKey, observation: Observation) -> Decision:
        if key in self._start_errors:
            return Decision(None, "raised", self._start_errors[key], memory=peak_memory())
        session = self._sessions[key]
        earlier_replies = len(replies_of(session))
        start = perf_counter()
        try:
            raw = session.act(observation)
        except Exception as error:
            if self._trusted:
                raise
            seconds = perf_counter() - start
            return Decision(None, "raised", _one_line(error), (), seconds, peak_memory())
        return _decision(raw, session, earlier_replies, perf_counter() - start)

    def _decide_batch(
        self, agent: BatchAgent, asked: Sequence[tuple[EpisodeKey, Observation]]
    ) -> list[Decision]:
        sessions = [self._sessions[key] for key, _ in asked]
        earlier_replies = [len(replies_of(session)) for session in sessions]
        start = perf_counter()
        try:
            raw = list(agent.act_batch(sessions, [observation for _, observation in asked]))
            if len(raw) != len(asked):
                raise ValueError(f"act_batch gave {len(raw)} actions for {len(asked)} episodes")
        except Exception as error:
            if self._trusted:
                raise
            seconds = (perf_counter() - start) / len(asked)
            failed = Decision(None, "raised", _one_line(error), (), seconds, peak_memory())
            return [failed] * len(asked)
        seconds = (perf_counter() - start) / len(asked)
        return [
            _decision(action, session, earlier, seconds)
            for action, session, earlier in zip(raw, sessions, earlier_replies, strict=True)
        ]


def peak_memory() -> int:
    """Peak memory of this process in bytes.

    Linux has it in /proc for this program alone. Elsewhere it is ru_maxrss, which may include the
    process that started this one (in kilobytes, on macOS in bytes).
    """
    with suppress(OSError), open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _decision(raw: Any, session: Session, earlier_replies: int, seconds: float) -> Decision:
    """The decision for what an agent returned, with the replies after the `earlier_replies`."""
    action = plain_action(raw)
    replies = tuple(replies_of(session)[earlier_replies:])
    if action is None:
        error = f"{type(raw).__name__} is no usable Action"
        return Decision(None, "invalid", error, replies, seconds, peak_memory())
    return Decision(action, "", "", replies, seconds, peak_memory())


def _one_line(error: BaseException) -> str:
    """Type and message of an exception in one line."""
    text = " ".join(str(error).encode("utf-8", "replace").decode().split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
