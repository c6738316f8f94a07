"""The process of a `SubprocessAgent`: holds one agent and may be killed at any time.

Requests come in pickled, from the process that started this one; answers go out as JSON, so that
nothing an agent makes is ever unpickled. What the agent prints goes to standard error.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from dataclasses import asdict
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any

from ..serialization import canonical_json

Inbox = SimpleQueue[tuple[str, Any]]


def serve(channel: Connection) -> None:
    """Answer requests until the other side hangs up, then end the agent and all that it started."""
    inbox: Inbox = SimpleQueue()
    Thread(target=_receive, args=(channel, inbox), daemon=True).start()
    source: Any = None
    while True:
        verb, argument = inbox.get()
        answer: Any = None
        try:
            if verb == "agent":
                sys.path[:] = argument["path"]
                from .in_process_agent import InProcessAgent

                agent = argument["agent"]
                source = InProcessAgent(pickle.loads(agent), pickled_agent=agent)
            elif verb == "prepare":
                from ...envs.simulator.world import build_world

                source.prepare(build_world(*argument))
            elif verb == "reset":
                source.reset()
            elif verb == "open":
                source.open(*argument)
            elif verb == "close":
                source.close(argument)
            elif verb == "decide":
                answer = [asdict(decision) for decision in source.decide(argument)]
        except BaseException as error:
            failure = {"kind": type(error).__name__, "message": " ".join(str(error).split())}
            channel.send_bytes(canonical_json({"error": failure}).encode())
        else:
            channel.send_bytes(canonical_json({"answer": answer}).encode())


def _receive(channel: Connection, inbox: Inbox) -> None:
    """Read requests as they come, so that the other side's end is noticed during a decision."""
    while True:
        try:
            message = pickle.loads(channel.recv_bytes())
        except (EOFError, OSError):
            os.killpg(0, signal.SIGKILL)
        inbox.put(message)


if __name__ == "__main__":
    from tasteshift.suites.engine.agent_process import serve as serve_as_imported

    serve_as_imported(Connection(int(sys.argv[1])))
