"""An agent in a process of its own: it may raise, hang, die or answer nonsense; the run goes on.

The agent's side is `host`. A decision that takes longer than the time limit costs the process its
life; what it knew of the lives under way is lost, and they go on without recommendations. The
next life gets a new process.
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
from ...records import Brief, Fault, Observation
from .episode import Decision, Key

DECISION_SECONDS = 60.0
PREPARE_SECONDS = 3600.0
LARGEST_ANSWER = 2**26
DECISIONS = TypeAdapter(list[Decision])


class _Lost(Exception):
    """The process is gone: it hung, died, or spoke nonsense."""

    def __init__(self, fault: Fault, error: str) -> None:
        super().__init__(error)
        self.fault, self.error = fault, error


class _Refused(Exception):
    """The process answered with an error."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind, self.message = kind, message


class SubprocessAgent:
    """A player whose agent lives in a process of its own.

    recipe  the pickled agent, as it was before `prepare`
    limit   seconds that a decision may take
    """

    def __init__(self, recipe: bytes, limit: float = DECISION_SECONDS) -> None:
        self._recipe = recipe
        self._limit = limit
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Connection
        self._world: tuple[Any, ...] = ()
        self._lost: dict[Key, _Lost] = {}
        self._open: set[Key] = set()

    def prepare(self, world: World) -> None:
        """See `DecisionSource`; raises InputError or AgentError where the agent cannot be prepared."""
        self._world = (base_name(world.catalog.name), world.scenario, world.slate_size)
        self._reach()

    def begin(self) -> None:
        """See `DecisionSource`."""
        try:
            self._call("begin", None, PREPARE_SECONDS)
        except _Lost as lost:
            raise AgentError(f"the agent cannot be cloned: {lost.error}") from None
        except _Refused as refused:
            raise AgentError(refused.message) from None

    def open(self, key: Key, brief: Brief, truth: GroundTruth) -> None:
        """See `DecisionSource`; the truth stays here."""
        self._open.add(key)
        try:
            self._call("open", (key, brief), self._limit)
        except _Lost as lost:
            self._mourn(lost)
        except _Refused as refused:
            self._lost[key] = _Lost("raised", f"start: {refused}")

    def decide(self, asked: Sequence[tuple[Key, Observation]]) -> list[Decision]:
        """See `DecisionSource`; the time limit is for each of the lives."""
        present = [pair for pair in asked if pair[0] not in self._lost]
        answers: dict[Key, Decision] = {}
        if present:
            try:
                told = self._call("decide", present, self._limit * len(present))
                found = DECISIONS.validate_python(told)
                answers = {key: one for (key, _), one in zip(present, found, strict=True)}
            except _Lost as lost:
                self._mourn(lost)
            except _Refused as refused:
                answers = {key: Decision(None, "raised", str(refused)) for key, _ in present}
            except (ValidationError, ValueError):
                self.stop()
                self._mourn(_Lost("died", "the agent's process spoke nonsense"))
        return [answers.get(key) or self._silence(key) for key, _ in asked]

    def close(self, key: Key) -> None:
        """See `DecisionSource`."""
        self._open.discard(key)
        if self._lost.pop(key, None) is None and self._process is not None:
            with suppress(_Lost):
                self._call("close", key, self._limit)

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

    def _silence(self, key: Key) -> Decision:
        lost = self._lost[key]
        return Decision(None, lost.fault, lost.error)

    def _mourn(self, lost: _Lost) -> None:
        """With the process went all that it knew of the lives under way."""
        self._lost |= {key: lost for key in self._open if key not in self._lost}

    def _reach(self) -> None:
        """The process, with the agent prepared for the world to come."""
        try:
            if self._process is None:
                self._start()
                path = [entry or os.getcwd() for entry in sys.path]
                self._call("agent", {"path": path, "agent": self._recipe}, PREPARE_SECONDS)
            self._call("prepare", self._world, PREPARE_SECONDS)
        except _Refused as refused:
            self.stop()
            if refused.kind in ("InputError", "UnknownName"):
                raise InputError(refused.message) from None
            raise AgentError(f"the agent cannot be prepared: {refused}") from None
        except _Lost as lost:
            self.stop()
            raise AgentError(f"the agent cannot be prepared: {lost.error}") from None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "tasteshift.suites.engine.agent_process",
                    str(theirs.fileno()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,
                start_new_session=True,
            )
        self._channel = Connection(ours.detach())

    def _call(self, verb: str, argument: Any, limit: float) -> Any:
        """One message and its answer; raises _Refused.

        Raises _Lost where there is no answer within `limit` seconds; the process is ended then.
        """
        if self._process is None:
            raise _Lost("died", "the agent's process is gone")
        try:
            answer = self._answer(verb, argument, limit)
        except _Lost:
            self.stop()
            raise
        if "error" in answer:
            raise _Refused(**answer["error"])
        return answer["answer"]

    def _answer(self, verb: str, argument: Any, limit: float) -> dict[str, Any]:
        try:
            self._channel.send_bytes(dumps((verb, argument)))
            if not self._channel.poll(limit):
                raise _Lost("timeout", f"no answer within {limit:g} seconds")
            answer: dict[str, Any] = loads(self._channel.recv_bytes(LARGEST_ANSWER))
        except (EOFError, OSError):
            raise _Lost("died", f"the agent's process ended{self._status()}") from None
        except (JSONDecodeError, UnicodeDecodeError):
            raise _Lost("died", "the agent's process spoke nonsense") from None
        return answer

    def _status(self) -> str:
        """Such as " with status 3"; the system may take a moment to tell."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            return f" with status {self._process.wait(1)}"
        return ""
