"""The verifier process, separate from the worker that decides on its outcome.

It is kept running from one submission to the next, its memory is limited, and it is killed when it
takes too long. It has no database and no secret but the key of the attempt at hand, and its
messages are read as JSON, never unpickled: it has read files from untrusted submitters.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any

from .jobs import Outcome

GIB = 2**30
POLL_SECONDS = 0.5
START_SECONDS = 300.0
DIED = "verification died (memory?)"


class VerifierDied(Exception):
    """The verifier process ended by itself, as it does where memory is short."""


class VerificationTimeout(Exception):
    """Verification took longer than its limit."""


class Verifier:
    """Starts one verifier process when it is needed, and replaces it when it ends.

    limit_s  seconds that one verification may take
    memory   bytes of address space that the process may use, where the platform can limit it
    """

    def __init__(self, limit_s: float, memory: int = 4 * GIB) -> None:
        self._limit_s = limit_s
        self._memory = memory
        self._child: tuple[BaseProcess, Connection] | None = None

    def verify(self, job: dict[str, Any], heartbeat: Callable[[str], None]) -> Outcome:
        """Verify what `run_job` or `attempt_job` describes.

        heartbeat  called at least twice a second with the latest progress message; what it raises
                   ends the verification

        Raises VerificationTimeout or VerifierDied.
        """
        try:
            pipe = self.start(heartbeat)
            pipe.send_bytes(json.dumps(job).encode())
            progress = ""
            for message in self._messages(pipe, self._limit_s):
                if message is not None and "state" in message:
                    return Outcome(**message)
                progress = message["progress"] if message else progress
                heartbeat(progress)
            raise VerificationTimeout
        except (EOFError, OSError):
            self.close()
            raise VerifierDied from None
        except BaseException:
            self.close()
            raise

    def start(self, heartbeat: Callable[[str], None]) -> Connection:
        """The pipe to a running process that has imported all it needs.

        heartbeat  as in `verify`

        Raises RuntimeError where no process starts.
        """
        if self._child is not None and not self._child[0].is_alive():
            self.close()
        if self._child is None:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            bounds = (self._limit_s, self._memory)
            process = context.Process(target=_run, args=(theirs, *bounds), name="verifier")
            process.start()
            theirs.close()
            self._child = (process, ours)
            messages = self._messages(ours, START_SECONDS)
            try:
                while next(messages) is None:
                    heartbeat("")
            except (EOFError, OSError, StopIteration):
                self.close()
                raise RuntimeError("the verifier process does not start") from None
        return self._child[1]

    @staticmethod
    def _messages(pipe: Connection, seconds: float) -> Iterator[dict[str, Any] | None]:
        """Messages of the process as they arrive, and None every POLL_SECONDS without one."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            yield json.loads(pipe.recv_bytes()) if pipe.poll(min(left, POLL_SECONDS)) else None

    def close(self) -> None:
        """Kill the process."""
        if self._child is not None:
            process, pipe = self._child
            self._child = None
            process.kill()
            process.join()
            process.close()
            pipe.close()


def _run(pipe: Connection, limit_s: float, memory: int) -> None:
    """Main function of the process: verifies one job after another until its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()
    from .verification import verify_submission

    def send(message: dict[str, Any]) -> None:
        pipe.send_bytes(json.dumps(message).encode())

    _set_limit("RLIMIT_AS", memory)
    send({})
    while True:
        try:
            job = json.loads(pipe.recv_bytes())
            cores = os.cpu_count() or 1
            _set_limit("RLIMIT_CPU", math.ceil(time.process_time() + (limit_s + 1) * cores))
            send(verify_submission(job, lambda message: send({"progress": message})))
        except (EOFError, BrokenPipeError):
            return
        except MemoryError:
            os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _set_limit(name: str, limit: int) -> None:
    """Set a resource limit of this process, where the platform has it."""
    try:
        import resource
    except ImportError:
        return
    which = getattr(resource, name)
    hard = resource.getrlimit(which)[1]
    soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(which, (soft, hard))
