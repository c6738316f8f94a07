"""Public routes: the board as rows and as a page, suites, and seasons."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from ....suites.suite import SUITES
from ...protocol import API
from ...store import seasons as store
from ...store.schema import Season
from ..board_cache import Row
from ..board_page import CONTENT_POLICY, board_page
from ..dependencies import State
from ..problems import declared
from ..schemas import SeasonInfo, SuiteInfo
from ..state import AppState

router = APIRouter(tags=["public"])
SuiteId = Annotated[str | None, Query(max_length=120, pattern=r"^[A-Za-z0-9@+=._-]+$")]


@router.get(f"{API}/board", responses=declared(422, 429, 500, 503))
def board(state: State, suite: SuiteId = None) -> list[Row]:
    """Every accepted submission as one flat row, best first."""
    return state.rows.of(suite)


@router.get(f"{API}/suites", responses=declared(429, 500))
def suites() -> list[SuiteInfo]:
    """The suites whose runs this server can verify."""
    return [
        SuiteInfo(
            id=suite.id,
            summary=suite.summary,
            tasks=[task.name for task in suite.tasks],
            seeds=suite.seeds,
            track=suite.track,
        )
        for suite in (SUITES.get(name) for name in SUITES)
    ]


@router.get(f"{API}/seasons", responses=declared(429, 500, 503))
def seasons(state: State) -> list[SeasonInfo]:
    """All seasons of hidden-seed play, with their commitments."""
    return [season_info(state, season) for season in store.seasons(state.board)]


@router.get("/", response_class=HTMLResponse, responses=declared(422, 429, 500, 503))
def page(state: State, suite: SuiteId = None) -> HTMLResponse:
    """The board as an HTML table."""
    headers = {"Content-Security-Policy": CONTENT_POLICY}
    return HTMLResponse(board_page(state.rows.of(suite)), headers=headers)


def season_info(state: AppState, season: Season) -> SeasonInfo:
    """What is public about a season at this time."""
    return SeasonInfo(
        name=season.name,
        suite=season.suite,
        opens=season.opens,
        closes=season.closes,
        commitment=season.commitment,
        secret=store.published_secret(state.board, season.name, state.time()),
    )
