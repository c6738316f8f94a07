"""What anybody may read: the board, the suites, the seasons; and the board as a page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from ....suites.suite import SUITES
from ...store import seasons as store
from ...store.schema import Season
from ..board_cache import Row
from ..board_page import POLICY, page
from ..dependencies import Desk, Here
from ..problems import declared

routes = APIRouter(tags=["public"])
SuiteId = Annotated[str | None, Query(max_length=120, pattern=r"^[A-Za-z0-9@+=._-]+$")]


class SuiteKnown(BaseModel):
    """A suite that this server can verify."""

    id: str
    summary: str
    tasks: list[str]
    seeds: int
    track: str


class SeasonKnown(BaseModel):
    """A season of hidden-seed play; `secret` (hexadecimal) is null until it has closed."""

    name: str
    suite: str
    opens: str
    closes: str
    commitment: str
    secret: str | None


@routes.get("/api/v1/board", responses=declared(422, 429, 500, 503))
def board(desk: Here, suite: SuiteId = None) -> list[Row]:
    """Every accepted submission as one flat row, best first."""
    return desk.rows.of(suite)


@routes.get("/api/v1/suites", responses=declared(429, 500))
def suites() -> list[SuiteKnown]:
    """The suites whose runs this server can verify."""
    return [
        SuiteKnown(
            id=suite.id,
            summary=suite.summary,
            tasks=[task.name for task in suite.tasks],
            seeds=suite.seeds,
            track=suite.track,
        )
        for suite in (SUITES.get(name) for name in SUITES)
    ]


@routes.get("/api/v1/seasons", responses=declared(429, 500, 503))
def seasons(desk: Here) -> list[SeasonKnown]:
    """All seasons of hidden-seed play, with what each has committed to."""
    return [season_known(desk, season) for season in store.seasons(desk.board)]


@routes.get("/", response_class=HTMLResponse, responses=declared(422, 429, 500, 503))
def table(desk: Here, suite: SuiteId = None) -> HTMLResponse:
    """The board as one table for people."""
    return HTMLResponse(page(desk.rows.of(suite)), headers={"Content-Security-Policy": POLICY})


def season_known(desk: Desk, season: Season) -> SeasonKnown:
    """What everybody may know of a season by now."""
    return SeasonKnown(
        name=season.name,
        suite=season.suite,
        opens=season.opens,
        closes=season.closes,
        commitment=season.commitment,
        secret=store.published_secret(desk.board, season.name, desk.now()),
    )
