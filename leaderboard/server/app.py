"""The board's FastAPI application."""

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
from ..protocol import API
from ..store.database import open_board
from .attempt_cache import AttemptCache
from .board_cache import BoardCache
from .limits import Limits, RateLimiter
from .middleware import RequestGuard
from .problems import add_exception_handlers
from .routes import admin, attempts, older, public, submissions
from .state import AppState
from .uploads import drop_stalled

CLEANUP_SECONDS = 30.0
DESCRIPTION = (
    "A leaderboard of runs that it has replayed itself, or that were played on hidden seeds. "
    "Errors are problem documents (RFC 9457)."
)
log = logging.getLogger("tasteshift.board")


def create_app(
    location: str | Path,
    *,
    files: str | Path | None = None,
    rank_from: RankFrom = "hidden-seed",
    limits: Limits | None = None,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """The web application of a board, which is created where there is none.

    location   a database file or URL (see `open_board`); files: folder of the archives
    rank_from  the track that is ranked; a private board may choose "replayed"
    clock      seconds since 1970, for deadlines and rates

    The board is open from now until the application's lifespan ends. Raises InputError where it
    cannot be opened.
    """
    limits = limits or Limits()
    stack = ExitStack()
    board = stack.enter_context(open_board(location, create=True, files=files))
    state = AppState(
        board=board,
        limits=limits,
        clock=clock,
        token_rates=RateLimiter(limits.token_rate, limits.token_burst, clock),
        rows=BoardCache(board, rank_from),
        attempts=AttemptCache(board),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        cleanup = asyncio.create_task(_clean_up_regularly(state))
        try:
            yield
        finally:
            cleanup.cancel()
            stack.close()

    app = FastAPI(
        title="TasteShift board",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.shared = state
    add_exception_handlers(app)
    for module in (public, submissions, attempts, admin, older):
        app.include_router(module.router)
    address_rates = RateLimiter(limits.address_rate, limits.address_burst, clock)
    app.add_middleware(RequestGuard, limits=limits, rates=address_rates)
    return app


def clean_up(state: AppState) -> None:
    """Conclude attempts whose deadline has passed, and drop uploads that do not continue."""
    attempts.conclude_overdue(state)
    drop_stalled(state.board, state.clock() - state.limits.stalled_seconds)


async def _clean_up_regularly(state: AppState) -> None:
    while True:
        try:
            await run_in_threadpool(clean_up, state)
        except Exception as error:
            log.error("clean-up failed and will be tried again: %s", type(error).__name__)
        await asyncio.sleep(CLEANUP_SECONDS)
