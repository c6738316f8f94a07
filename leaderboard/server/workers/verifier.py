"""A process that verifies, apart from the one that decides what becomes of it.

It is kept warm from one submission to the next, it may only use so much memory, and it is ended
when it takes too long. It has no database and no secret but the key of the attempt before it, and
what it says is read as JSON, never unpickled: it has read files that strangers wrote.
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
BEAT_S = 0.5
START_S = 300.0
DIED = "verification died (memory?)"


class Died(Exception):
    """The process that verified ended by itself, as it does where memory is short."""


class Overtime(Exception):
    """Verification took longer than it may."""


class Verifier:
    """One verifying process at a time, made when it is needed and replaced when it ends.

    limit_s  seconds that one verification may take
    memory   bytes of address space that the process may use, where the platform can limit it
    """

    def __init__(self, limit_s: float, memory: int = 4 * GIB) -> None:
        self._limit_s = limit_s
        self._memory = memory
        self._child: tuple[BaseProcess, Connection] | None = None

    def verify(self, job: dict[str, Any], pulse: Callable[[str], None]) -> Outcome:
        """Verify what `run_job` or `attempt_job` describes.

        pulse  called twice a second or more often with the latest news; what it raises ends it

        Raises Overtime or Died.
        """
        try:
            pipe = self.warm(pulse)
            pipe.send_bytes(json.dumps(job).encode())
            news = ""
            for said in self._heard(pipe, self._limit_s):
                if said is not None and "state" in said:
                    return Outcome(**said)
                news = said["news"] if said else news
                pulse(news)
            raise Overtime
        except (EOFError, OSError):
            self.close()
            raise Died from None
        except BaseException:
            self.close()
            raise

    def warm(self, pulse: Callable[[str], None]) -> Connection:
        """The pipe to a process that has imported all it needs, and begins at once.

        pulse  as in `verify`

        Raises RuntimeError where no process gets that far.
        """
        if self._child is not None and not self._child[0].is_alive():
            self.close()
        if self._child is None:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            bounds = (self._limit_s, self._memory)
            process = context.Process(target=_live, args=(theirs, *bounds), name="verifier")
            process.start()
            theirs.close()
            self._child = (process, ours)
            heard = self._heard(ours, START_S)
            try:
                while next(heard) is None:
                    pulse("")
            except (EOFError, OSError, StopIteration):
                self.close()
                raise RuntimeError("the process that verifies does not start") from None
        return self._child[1]

    @staticmethod
    def _heard(pipe: Connection, seconds: float) -> Iterator[dict[str, Any] | None]:
        """What the process says, as it says it, and None at every beat that it is silent."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            yield json.loads(pipe.recv_bytes()) if pipe.poll(min(left, BEAT_S)) else None

    def close(self) -> None:
        """End the process, at once."""
        if self._child is not None:
            process, pipe = self._child
            self._child = None
            process.kill()
            process.join()
            process.close()
            pipe.close()


def _live(pipe: Connection, limit_s: float, memory: int) -> None:
    """What the process does: one examination after another, until its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()
    from .verification import examine

    def say(what: dict[str, Any]) -> None:
        pipe.send_bytes(json.dumps(what).encode())

    _bound("RLIMIT_AS", memory)
    say({})
    while True:
        try:
            job = json.loads(pipe.recv_bytes())
            cores = os.cpu_count() or 1
            _bound("RLIMIT_CPU", math.ceil(time.process_time() + (limit_s + 1) * cores))
            say(examine(job, lambda news: say({"news": news})))
        except (EOFError, BrokenPipeError):
            return
        except MemoryError:
            os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _bound(name: str, limit: int) -> None:
    """Set a limit of this process, on platforms that have it."""
    try:
        import resource
    except ImportError:
        return
    which = getattr(resource, name)
    hard = resource.getrlimit(which)[1]
    soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(which, (soft, hard))
