"""Submitting to a board, playing against one, and keeping one."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .app import app, board
from .models import DecoderName, DeviceName, PairName, TypeName
from .screen import Json, err, fail, out, print_json, progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..leaderboard.store.database import Board as OpenBoard

TOKEN = "TASTESHIFT_TOKEN"
NEARBY = r"http://(localhost|127\.0\.0\.1|\[::1\])([:/]|$)"

Place = Annotated[
    str,
    typer.Option(
        "--board", help="A database file, postgresql://…, or the http(s):// address of a service."
    ),
]
Database = Annotated[
    str, typer.Option("--board", help="A database file, or postgresql://user@host/database.")
]
Service = Annotated[str, typer.Option("--board", help="The address of the board's service.")]
Files = Annotated[
    Path | None,
    typer.Option(
        help="Folder for archives, attempts and secrets; beside a database file by default.",
        metavar="DIR",
    ),
]
Suite = Annotated[str | None, typer.Option(help="Only this suite, such as quick@2.")]


class RankFrom(StrEnum):
    """As `leaderboard.board_rows.RankFrom`, for the parser."""

    hidden_seed = "hidden-seed"
    replayed = "replayed"


class Scope(StrEnum):
    """What a token opens."""

    submit = "submit"
    admin = "admin"


@app.command(epilog="Example: tasteshift submit runs/linucb --board board.db")
def submit(
    run_dir: Annotated[Path, typer.Argument(help="The --out folder of a finished run.")],
    place: Place,
    files: Files = None,
    as_json: Json = False,
) -> None:
    """Replay a run and, if every outcome matches, put it on a board.

    For a service, its token is read from the environment variable TASTESHIFT_TOKEN. The run is
    verified here first, by the same code; an upload that was cut off goes on where it stopped.
    """
    from ..leaderboard.submission import submit as submit_here

    if is_service(place):
        from ..leaderboard.client import submit_remote

        receipt = submit_remote(
            run_dir,
            place,
            token_for(place),
            progress=lambda n: progress("replaying", n),
            upload=lambda n: progress("uploading", n),
            on_event=lambda line: err.print(line, highlight=False, markup=False, soft_wrap=True),
        )
    else:
        progress = None if as_json else (lambda n: progress("replaying", n))
        receipt = submit_here(run_dir, place, files=files, progress=progress)
    if as_json:
        print_json([receipt.row()])
    elif receipt.accepted:
        out.print(receipt.line(), soft_wrap=True, highlight=False, markup=False)
    if not receipt.accepted:
        fail(receipt.line(), 1)


@board.command("show")
def board_show(
    place: Place,
    suite: Suite = None,
    rank_from: Annotated[
        RankFrom, typer.Option(help="Rank play on hidden seeds only, or replayed runs too.")
    ] = RankFrom.hidden_seed,
    files: Files = None,
    as_json: Json = False,
) -> None:
    """Print a board: everything that was believed, with intervals, trust and ranks."""
    if is_service(place):
        from ..leaderboard.client import fetch_rows

        rows = fetch_rows(place, suite)
    else:
        from ..leaderboard.board_rows import board_rows

        rows = board_rows(place, suite, rank_from=rank_from.value, files=files)
    if as_json:
        print_json(rows)
        return
    from ..leaderboard.terminal_table import board_table

    out.print(board_table(rows))


@board.command("verify", epilog="Example: tasteshift board verify runs/linucb")
def board_verify(
    run: Annotated[Path, typer.Argument(help="The --out folder of a run, or a packed archive.")],
    as_json: Json = False,
) -> None:
    """Replay a run and say whether a board would believe it; nothing is submitted."""
    from ..leaderboard.verification.verify import verify, verify_archive

    check = verify if run.is_dir() else verify_archive
    verdict = check(run, progress=lambda n: progress("replaying", n))
    if as_json:
        print_json([verdict.row()])
    elif verdict.accepted:
        out.print(verdict.line(), soft_wrap=True, highlight=False, markup=False)
    if not verdict.accepted:
        fail(verdict.line(), 1)


@board.command("serve", epilog="Example: tasteshift board serve --board board.db")
def board_serve(
    place: Database,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any that is free.")] = 8000,
    workers: Annotated[int, typer.Option(help="Processes that verify.", min=0)] = 1,
    rank_from: Annotated[
        RankFrom, typer.Option(help="Rank play on hidden seeds only, or replayed runs too.")
    ] = RankFrom.hidden_seed,
    files: Files = None,
) -> None:
    """Serve a board: submissions, verification in the background, play on hidden seeds.

    The first start prints an admin token, once. Plain HTTP: put a proxy that encrypts before it.
    """
    from ..leaderboard.server.serve import serve

    serve(
        place,
        host=host,
        port=port,
        workers=workers,
        files=files,
        rank_from=rank_from.value,
        announce=lambda line: out.print(line, soft_wrap=True, highlight=False, markup=False),
    )


@board.command("play", epilog="Example: tasteshift board play spring --agent linucb --board URL")
def board_play(
    season: Annotated[str, typer.Argument(help="The season, as the board names it.")],
    agent: Annotated[str, typer.Option(help="Who recommends; see: tasteshift list agents")],
    service: Service,
    simulator_trained: Annotated[
        bool,
        typer.Option(
            "--simulator-trained/--not-simulator-trained",
            help="Whether the agent was trained on this simulator; the board says so.",
        ),
    ],
    decoder: DecoderName = None,
    pair: PairName = None,
    device: DeviceName = None,
    dtype: TypeName = None,
    hardware: Annotated[
        str, typer.Option(help="What it runs on; times compare within one class only.")
    ] = "",
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Folder that --resume goes on from.", metavar="DIR"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the attempt in --out.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Play one attempt on hidden seeds, against users whom nobody can know.

    An attempt that was begun counts, whatever becomes of it, and every answer is final. The token
    is read from the environment variable TASTESHIFT_TOKEN.
    """
    from ..agents import make_agent
    from ..leaderboard.hidden.client import play_hidden

    folder = out_dir or Path("runs") / f"{season}-{agent}"
    try:
        told = play_hidden(
            make_agent(agent, decoder=decoder, pair=pair, device=device, dtype=dtype),
            service,
            token_for(service),
            season=season,
            simulator_trained=simulator_trained,
            hardware=hardware,
            out=folder,
            resume=resume,
            progress=lambda n: progress(f"{agent} plays {season}", n),
        )
    except KeyboardInterrupt:
        fail("stopped; the same command with --resume goes on where it was", 1)
    if as_json:
        print_json([told])
        return
    line = (
        f"attempt {told['attempt']} is handed in; its score appears on {service} when it is lived"
    )
    out.print(line, soft_wrap=True, highlight=False, markup=False)


@board.command("token", epilog="Example: tasteshift board token alice --board board.db")
def board_token(
    name: Annotated[str, typer.Argument(help="Whose it is; submissions show this name.")],
    place: Database,
    scope: Annotated[
        Scope, typer.Option(help="submit and play, or admin: everything.")
    ] = Scope.submit,
    revoke: Annotated[bool, typer.Option("--revoke", help="Let it open nothing any more.")] = False,
    files: Files = None,
) -> None:
    """Issue a token for the service of a board, or revoke one. It is shown once."""
    from ..leaderboard.store import tokens

    with opened(place, files) as found:
        if not revoke:
            typer.echo(tokens.issue(found, name, scope.value))
        elif not tokens.revoke(found, name):
            raise InputError(f"no token {name!r} opens anything; see how it is spelled")


@board.command(
    "season",
    epilog="Example: tasteshift board season spring --suite quick@2 "
    "--opens 2027-03-01T00:00Z --closes 2027-06-01T00:00Z --board board.db",
)
def board_season(
    name: Annotated[str, typer.Argument(help="What the season is called: a-z, 0-9 and -.")],
    place: Database,
    suite: Annotated[str, typer.Option(help="The suite that is played, such as quick@2.")],
    opens: Annotated[str, typer.Option(help="When it begins: ISO 8601 with a time zone.")],
    closes: Annotated[str, typer.Option(help="When it ends, and its secret is published.")],
    files: Files = None,
    as_json: Json = False,
) -> None:
    """Open a season of play on hidden seeds, and print what it commits to."""
    from ..leaderboard.store.seasons import open_season
    from ..suites.suite import find_suite

    with opened(place, files) as found:
        season = open_season(found, name, find_suite(suite).id, opens, closes)
    if as_json:
        fields = ("name", "suite", "opens", "closes", "commitment")
        print_json([{field: getattr(season, field) for field in fields}])
    else:
        typer.echo(season.commitment)


@board.command("invalidate")
def board_invalidate(
    number: Annotated[int, typer.Argument(help="Number of the submission.")],
    place: Database,
    reason: Annotated[str, typer.Option(help="Why it counts no longer, in one line.")],
    replaced_by: Annotated[
        int | None, typer.Option(help="Number of the submission in its place.", metavar="N")
    ] = None,
    files: Files = None,
) -> None:
    """Declare that a result counts no longer. It stays on the board, with the reason."""
    from ..leaderboard.store.results import invalidate

    with opened(place, files) as found:
        invalidate(found, number, "the board's keeper", reason, replaced_by)


@board.command("retry")
def board_retry(
    number: Annotated[int, typer.Argument(help="Number of the submission.")],
    place: Database,
    files: Files = None,
) -> None:
    """Have a refused submission verified again, where the board itself was to blame."""
    from ..leaderboard.store.queue import retry

    with opened(place, files) as found:
        retry(found, number)


@contextmanager
def opened(place: str, files: Path | None) -> Iterator[OpenBoard]:
    """A board, made where there is none."""
    from ..leaderboard.store.database import open_board

    with open_board(place, create=True, files=files) as found:
        yield found


def is_service(place: str) -> bool:
    """Whether a board was named by the address of its service."""
    return place.startswith(("http://", "https://"))


def token_for(service: str) -> str:
    """The token that the environment holds; raises InputError where there is none."""
    token = os.environ.get(TOKEN, "")
    if not token:
        raise InputError(f"the board's service asks for a token; put yours into {TOKEN}")
    if service.startswith("http://") and not re.match(NEARBY, service):
        err.print("warning: anybody on the way can read your token; use https://", highlight=False)
    return token
