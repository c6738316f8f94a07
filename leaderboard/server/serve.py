"""The board service: one HTTP server process, and worker processes that verify."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic

import uvicorn
from sqlalchemy import select

from ...errors import InputError
from ..board_rows import RankFrom
from ..store.database import open_board
from ..store.schema import Token
from ..store.tokens import issue
from .app import create_app
from .limits import Limits
from .workers.worker import work

EARLY_EXIT_SECONDS, RESTART_PAUSE = 5.0, 1.0
POLL_SECONDS = 0.5
SHUTDOWN_SECONDS = 10.0
MAX_HEADER_BYTES, MAX_CONNECTIONS = 16 * 1024, 1000
ADMIN_NAME = "admin"


def _print(line: str) -> None:
    print(line, flush=True)


def serve(
    location: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    files: str | Path | None = None,
    rank_from: RankFrom = "hidden-seed",
    limits: Limits | None = None,
    announce: Callable[[str], None] = _print,
) -> None:
    """Serve the board at `location`, created where there is none, until SIGTERM or SIGINT.

    port      0 for any free port
    workers   processes that verify; 0 leaves that to another server of the same board
    files     folder of archives, attempts and secrets (see `open_board`)
    announce  called with the address and, on the first start of a board, with an admin token

    Listens on plain HTTP: TLS is left to a reverse proxy. For the main thread only.
    Raises InputError where the board or the address cannot be used.
    """
    _log_requests()
    limits = limits or Limits()
    with closing(_listen(host, port)) as listening:
        app = create_app(location, files=files, rank_from=rank_from, limits=limits)
        token = _first_admin_token(location, files)
        if token is not None:
            announce(f"admin token, shown this once: {token}")
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=int(SHUTDOWN_SECONDS),
            limit_concurrency=MAX_CONNECTIONS,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            http="h11",
        )
        with _deferred_signals(), _running_workers(location, files, workers, limits.verify_seconds):
            shown = f"[{host}]" if ":" in host else host
            announce(f"board at http://{shown}:{listening.getsockname()[1]}")
            uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket, so that the address is known to be free before anything else is done.

    TCP_NODELAY: with Nagle's algorithm a response would wait for the client's acknowledgement,
    some 40 ms a turn.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=1024)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise InputError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another --port"
        ) from None


def _log_requests() -> None:
    """Log to standard error, unless a handler is configured already."""
    log = logging.getLogger("tasteshift.board")
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)


def _first_admin_token(location: str | Path, files: str | Path | None) -> str | None:
    """A new admin token for a board that has no token yet."""
    with open_board(location, files=files) as board:
        with board.session() as session:
            if session.scalars(select(Token).limit(1)).first() is not None:
                return None
        try:
            return issue(board, ADMIN_NAME, "admin")
        except InputError:
            return None


@contextmanager
def _deferred_signals() -> Iterator[None]:
    """Ignore SIGTERM and SIGINT around the server, which raises them again once it has stopped."""
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    for one in before:
        signal.signal(one, lambda number, frame: None)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def _running_workers(
    location: str | Path, files: str | Path | None, workers: int, limit_s: float
) -> Iterator[None]:
    """Keep `workers` worker processes running within the block; one that dies is replaced."""
    ending = threading.Event()
    supervisors = [
        threading.Thread(target=_supervise, args=(location, files, limit_s, ending), daemon=True)
        for _ in range(workers)
    ]
    for supervisor in supervisors:
        supervisor.start()
    try:
        yield
    finally:
        ending.set()
        for supervisor in supervisors:
            supervisor.join()


def _supervise(
    location: str | Path, files: str | Path | None, limit_s: float, ending: threading.Event
) -> None:
    """Keep one worker running until `ending`; after an early exit, restart it with a pause."""
    while not ending.is_set():
        began, worker = monotonic(), _start(location, files, limit_s)
        while worker.is_alive() and not ending.is_set():
            worker.join(POLL_SECONDS)
        if ending.is_set():
            _stop(worker)
        elif monotonic() - began < EARLY_EXIT_SECONDS:
            ending.wait(RESTART_PAUSE)


def _start(location: str | Path, files: str | Path | None, limit_s: float) -> BaseProcess:
    spawn = multiprocessing.get_context("spawn")
    worker = spawn.Process(
        target=work, args=(location, files), kwargs={"limit_s": limit_s}, name="tasteshift-worker"
    )
    worker.start()
    return worker


def _stop(worker: BaseProcess) -> None:
    worker.terminate()
    worker.join(SHUTDOWN_SECONDS)
    if worker.is_alive():
        worker.kill()
        worker.join()
