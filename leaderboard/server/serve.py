"""A board as a service: one process that answers, and beside it those that verify."""

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
from .app import make_app
from .limits import Limits
from .workers.worker import work

SHORT_LIFE, BREATH = 5.0, 1.0
LOOK_SECONDS = 0.5
PATIENCE = 10.0
LARGEST_HEADERS, CONNECTIONS = 16 * 1024, 1000
FIRST_ADMIN = "admin"


def _say(line: str) -> None:
    print(line, flush=True)


def serve(
    place: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    files: str | Path | None = None,
    rank_from: RankFrom = "hidden-seed",
    limits: Limits | None = None,
    announce: Callable[[str], None] = _say,
) -> None:
    """Serve the board at `place`, made where there is none, until SIGTERM or SIGINT.

    port      0 for any that is free
    workers   processes that verify; 0 leaves that to another server of the same board
    files     where archives, attempts and secrets lie (see `open_board`)
    announce  told the address, and on the first start of a board an admin token, once

    Listens on plain HTTP: encryption belongs to a proxy before it. For the main thread only.
    Raises InputError where the board or the address cannot be used.
    """
    _log_requests()
    bounds = limits or Limits()
    with closing(_listen(host, port)) as listening:
        app = make_app(place, files=files, rank_from=rank_from, limits=bounds)
        token = _first_admin(place, files)
        if token is not None:
            announce(f"admin token, shown this once: {token}")
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=int(PATIENCE),
            limit_concurrency=CONNECTIONS,
            h11_max_incomplete_event_size=LARGEST_HEADERS,
            http="h11",
        )
        with _quiet_end(), _verifying(place, files, workers, bounds.verify_seconds):
            shown = f"[{host}]" if ":" in host else host
            announce(f"board at http://{shown}:{listening.getsockname()[1]}")
            uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket, so that the address is known, and known to be free, before all else.

    Its answers leave at once: they would wait for the asker's acknowledgement otherwise, some
    40 ms a turn.
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
    """Write what happens to standard error, unless somebody has arranged otherwise."""
    log = logging.getLogger("tasteshift.board")
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)


def _first_admin(place: str | Path, files: str | Path | None) -> str | None:
    """An admin token for a board that has no token yet."""
    with open_board(place, files=files) as board:
        with board.session() as session:
            if session.scalars(select(Token).limit(1)).first() is not None:
                return None
        try:
            return issue(board, FIRST_ADMIN, "admin")
        except InputError:
            return None


@contextmanager
def _quiet_end() -> Iterator[None]:
    """Let SIGTERM and SIGINT end the server alone: it raises them again once it has stopped."""
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    for one in before:
        signal.signal(one, lambda number, frame: None)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def _verifying(
    place: str | Path, files: str | Path | None, workers: int, limit_s: float
) -> Iterator[None]:
    """`workers` processes that verify while the block runs; each that dies is replaced."""
    ending = threading.Event()
    keepers = [
        threading.Thread(target=_keep, args=(place, files, limit_s, ending), daemon=True)
        for _ in range(workers)
    ]
    for keeper in keepers:
        keeper.start()
    try:
        yield
    finally:
        ending.set()
        for keeper in keepers:
            keeper.join()


def _keep(
    place: str | Path, files: str | Path | None, limit_s: float, ending: threading.Event
) -> None:
    """Have one worker until `ending`; one that died at once is replaced a little later."""
    while not ending.is_set():
        began, worker = monotonic(), _start(place, files, limit_s)
        while worker.is_alive() and not ending.is_set():
            worker.join(LOOK_SECONDS)
        if ending.is_set():
            _stop(worker)
        elif monotonic() - began < SHORT_LIFE:
            ending.wait(BREATH)


def _start(place: str | Path, files: str | Path | None, limit_s: float) -> BaseProcess:
    spawn = multiprocessing.get_context("spawn")
    worker = spawn.Process(
        target=work, args=(place, files), kwargs={"limit_s": limit_s}, name="tasteshift-worker"
    )
    worker.start()
    return worker


def _stop(worker: BaseProcess) -> None:
    worker.terminate()
    worker.join(PATIENCE)
    if worker.is_alive():
        worker.kill()
        worker.join()
