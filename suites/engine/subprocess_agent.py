"""An agent in a process of its own, which may raise, hang, die or answer nonsense.

The other side is `agent_process`. A process that exceeds the time limit is killed; the sessions of
all open episodes are lost with it, and these episodes go on without recommendations. The next
episode gets a new process.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from json import JSONDecodeError, loads
from multiprocessing.connection import Connection
from pickle import dumps
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ...envs.catalogs.overlays import base_name
from ...envs.reference.ground_truth import GroundTruth
from ...envs.simulator.world import World
from ...errors import AgentError, InputError
from ...records import Brief, EpisodeKey, Fault, Observation
from .decision_source import Decision

DECISION_SECONDS = 60.0
PREPARE_SECONDS = 3600.0
LARGEST_ANSWER = 2**26
"""Bytes."""
DECISIONS = TypeAdapter(list[Decision])
UNREADABLE = "the answer of the agent's process cannot be read"


class _ProcessLost(Exception):
    """The agent's process hung, died or gave an answer that cannot be read; it is gone."""

    def __init__(self, fault: Fault, error: str) -> None:
        super().__init__(error)
        self.fault, self.error = fault, error


class _AgentRaised(Exception):
    """The agent raised an exception; its process goes on."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind, self.message = kind, message


class SubprocessAgent:
    """A `DecisionSource` whose agent runs in a process of its own.

    pickled_agent  the agent as it was before `prepare`
    time_limit     seconds that a decision may take
    """

    def __init__(self, pickled_agent: bytes, time_limit: float = DECISION_SECONDS) -> None:
        self._pickled_agent = pickled_agent
        self._time_limit = time_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Connection
        self._open: set[EpisodeKey] = set()
        self._failed: dict[EpisodeKey, Decision] = {}

    def prepare(self, world: World) -> None:
        """See `DecisionSource`; raises InputError or AgentError where it cannot be prepared."""
        arguments = (base_name(world.catalog.name), world.scenario, world.slate_size)
        try:
            if self._process is None:
                self._start()
                path = [entry or os.getcwd() for entry in sys.path]
                self._call("agent", {"path": path, "agent": self._pickled_agent}, PREPARE_SECONDS)
            self._call("prepare", arguments, PREPARE_SECONDS)
        except _AgentRaised as raised:
            self.stop()
            if raised.kind in ("InputError", "UnknownName"):
                raise InputError(raised.message) from None
            raise AgentError(f"the agent cannot be prepared: {raised}") from None
        except _ProcessLost as lost:
            self.stop()
            raise AgentError(f"the agent cannot be prepared: {lost.error}") from None

    def reset(self) -> None:
        """See `DecisionSource`."""
        try:
            self._call("reset", None, PREPARE_SECONDS)
        except _ProcessLost as lost:
            raise AgentError(f"the agent cannot be cloned: {lost.error}") from None
        except _AgentRaised as raised:
            raise AgentError(raised.message) from None

    def open(self, key: EpisodeKey, brief: Brief, truth: GroundTruth) -> None:
        """See `DecisionSource`; `truth` is not sent."""
        self._open.add(key)
        try:
            self._call("open", (key, brief), self._time_limit)
        except _ProcessLost as lost:
            self._fail_open_episodes(lost)
        except _AgentRaised as raised:
            self._failed[key] = Decision(None, "raised", f"start: {raised}")

    def decide(self, asked: Sequence[tuple[EpisodeKey, Observation]]) -> list[Decision]:
        """See `DecisionSource`; the time limit counts for each of the episodes."""
        running = [pair for pair in asked if pair[0] not in self._failed]
        decisions: dict[EpisodeKey, Decision] = {}
        if running:
            try:
                answer = self._call("decide", running, self._time_limit * len(running))
                found = DECISIONS.validate_python(answer)
                decisions = {key: one for (key, _), one in zip(running, found, strict=True)}
            except _ProcessLost as lost:
                self._fail_open_episodes(lost)
            except _AgentRaised as raised:
                decisions = {key: Decision(None, "raised", str(raised)) for key, _ in running}
            except (ValidationError, ValueError):
                self.stop()
                self._fail_open_episodes(_ProcessLost("died", UNREADABLE))
        return [decisions.get(key) or self._failed[key] for key, _ in asked]

    def close(self, key: EpisodeKey) -> None:
        """See `DecisionSource`."""
        self._open.discard(key)
        if self._failed.pop(key, None) is None and self._process is not None:
            with suppress(_ProcessLost):
                self._call("close", key, self._time_limit)

    def stop(self) -> None:
        """End the process, and all that it started."""
        if self._process is not None:
            self._channel.close()
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __del__(self) -> None:
        with suppress(Exception):
            self.stop()

    def _fail_open_episodes(self, lost: _ProcessLost) -> None:
        """Let all open episodes go on with a fault: their sessions are gone."""
        failed = Decision(None, lost.fault, lost.error)
        self._failed |= {key: failed for key in self._open if key not in self._failed}

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            module = "tasteshift.suites.engine.agent_process"
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,
                start_new_session=True,
            )
        self._channel = Connection(ours.detach())

    def _call(self, verb: str, argument: Any, limit: float) -> Any:
        """Send one request and return its answer; raises _AgentRaised.

        Raises _ProcessLost where there is no answer within `limit` seconds, and ends the process.
        """
        if self._process is None:
            raise _ProcessLost("died", "the agent's process is gone")
        try:
            answer = self._exchange(verb, argument, limit)
        except _ProcessLost:
            self.stop()
            raise
        if "error" in answer:
            raise _AgentRaised(**answer["error"])
        return answer["answer"]

    def _exchange(self, verb: str, argument: Any, limit: float) -> dict[str, Any]:
        try:
            self._channel.send_bytes(dumps((verb, argument)))
            if not self._channel.poll(limit):
                raise _ProcessLost("timeout", f"no answer within {limit:g} seconds")
            answer: dict[str, Any] = loads(self._channel.recv_bytes(LARGEST_ANSWER))
        except (EOFError, OSError):
            raise _ProcessLost("died", f"the agent's process ended{self._status()}") from None
        except (JSONDecodeError, UnicodeDecodeError):
            raise _ProcessLost("died", UNREADABLE) from None
        return answer

    def _status(self) -> str:
        """Such as " with status 3"; waits a moment, since the status may come later."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            return f" with status {self._process.wait(1)}"
        return ""
