"""The board's web application: its routes, put together around one open board."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from ... import __version__
from ..board_rows import RankFrom
from ..store.database import open_board
from .attempt_cache import Plays
from .board_cache import Rows
from .dependencies import Desk
from .limits import Limits, Rates
from .middleware import Guard
from .problems import answer_problems
from .routes import admin, attempts, public, submissions
from .uploads import drop_stalled

SWEEP_SECONDS = 30.0
DESCRIPTION = (
    "A leaderboard that believes only what it has replayed, or what was played on hidden seeds. "
    "Errors are problem documents (RFC 9457)."
)
log = logging.getLogger("tasteshift.board")


def make_app(
    place: str | Path,
    *,
    files: str | Path | None = None,
    rank_from: RankFrom = "hidden-seed",
    limits: Limits | None = None,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """The web application of the board at `place`, which is made where there is none.

    place      a database file or URL (see `open_board`); files: where archives lie
    rank_from  the track that is ranked; a private board may choose "replayed"
    clock      seconds since 1970, for deadlines and rates

    The board is open from now until the application's lifespan ends. Raises InputError where it
    cannot be opened.
    """
    bounds = limits or Limits()
    stack = ExitStack()
    board = stack.enter_context(open_board(place, create=True, files=files))
    desk = Desk(
        board=board,
        limits=bounds,
        clock=clock,
        rates=Rates(bounds.token_rate, bounds.token_burst, clock),
        rows=Rows(board, rank_from),
        plays=Plays(board),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(desk))
        try:
            yield
        finally:
            sweeping.cancel()
            stack.close()

    app = FastAPI(
        title="TasteShift board",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.desk = desk
    answer_problems(app)
    for part in (public, submissions, attempts, admin):
        app.include_router(part.routes)
    by_address = Rates(bounds.address_rate, bounds.address_burst, clock)
    app.add_middleware(Guard, limits=bounds, rates=by_address)
    return app


def sweep(desk: Desk) -> None:
    """Conclude attempts whose deadline has passed, and drop uploads that stalled."""
    attempts.conclude_overdue(desk)
    drop_stalled(desk.board, desk.clock() - desk.limits.stalled_seconds)


async def _sweep(desk: Desk) -> None:
    while True:
        try:
            await run_in_threadpool(sweep, desk)
        except Exception as error:
            log.error("sweeping failed, and will be tried again: %s", type(error).__name__)
        await asyncio.sleep(SWEEP_SECONDS)
