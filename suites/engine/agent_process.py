"""The other end of `isolation`: hosts one agent in a process that may be killed at any time.

Messages come in pickled, from the runner that started this process; answers go out as JSON, so
that nothing an agent makes is ever unpickled. What the agent prints goes to standard error.
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

from ..canonical import canonical

Inbox = SimpleQueue[tuple[str, Any]]


def serve(channel: Connection) -> None:
    """Answer until the runner hangs up, then end the agent and all that it started."""
    inbox: Inbox = SimpleQueue()
    Thread(target=_receive, args=(channel, inbox), daemon=True).start()
    player: Any = None
    while True:
        verb, argument = inbox.get()
        answer: Any = None
        try:
            if verb == "agent":
                sys.path[:] = argument["path"]
                from .in_process_agent import InProcessAgent

                player = InProcessAgent(pickle.loads(argument["agent"]), recipe=argument["agent"])
            elif verb == "prepare":
                from ...envs.simulator.world import build_world

                player.prepare(build_world(*argument))
            elif verb == "begin":
                player.begin()
            elif verb == "open":
                player.open(*argument)
            elif verb == "close":
                player.close(argument)
            elif verb == "decide":
                answer = [asdict(decision) for decision in player.decide(argument)]
        except BaseException as error:
            refused = {"kind": type(error).__name__, "message": " ".join(str(error).split())}
            channel.send_bytes(canonical({"error": refused}).encode())
        else:
            channel.send_bytes(canonical({"answer": answer}).encode())


def _receive(channel: Connection, inbox: Inbox) -> None:
    while True:
        try:
            message = pickle.loads(channel.recv_bytes())
        except (EOFError, OSError):
            os.killpg(0, signal.SIGKILL)
        inbox.put(message)


if __name__ == "__main__":
    from tasteshift.suites.engine.agent_process import serve as serve_as_imported

    serve_as_imported(Connection(int(sys.argv[1])))
