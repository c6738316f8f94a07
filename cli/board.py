"""Commands about boards: submit, show, verify, serve, play, and administration."""

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

TOKEN_VARIABLE = "TASTESHIFT_TOKEN"
LOCAL_URL = r"http://(localhost|127\.0\.0\.1|\[::1\])([:/]|$)"

BoardLocation = Annotated[
    str,
    typer.Option(
        "--board", help="A database file, postgresql://…, or the http(s):// address of a board."
    ),
]
Database = Annotated[
    str, typer.Option("--board", help="A database file, or postgresql://user@host/database.")
]
ServiceUrl = Annotated[str, typer.Option("--board", help="The http(s):// address of the board.")]
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
    """What a token permits."""

    submit = "submit"
    admin = "admin"


@app.command(epilog="Example: tasteshift submit runs/linucb --board board.db")
def submit(
    run_dir: Annotated[Path, typer.Argument(help="The --out folder of a finished run.")],
    location: BoardLocation,
    files: Files = None,
    as_json: Json = False,
) -> None:
    """Replay a run and, if every outcome matches, put it on a board.

    For a board at an http(s):// address, the token is read from the environment variable
    TASTESHIFT_TOKEN. The run is first verified here, by the same code; an interrupted upload
    resumes where it stopped.
    """
    from ..leaderboard.submission import submit as submit_local

    if is_url(location):
        from ..leaderboard.client import submit_remote

        receipt = submit_remote(
            run_dir,
            location,
            token_for(location),
            progress=lambda n: progress("replaying", n),
            upload=lambda n: progress("uploading", n),
            on_event=lambda line: err.print(line, highlight=False, markup=False, soft_wrap=True),
        )
    else:
        replaying = None if as_json else (lambda n: progress("replaying", n))
        receipt = submit_local(run_dir, location, files=files, progress=replaying)
    if as_json:
        print_json([receipt.row()])
    elif receipt.accepted:
        out.print(receipt.line(), soft_wrap=True, highlight=False, markup=False)
    if not receipt.accepted:
        fail(receipt.line(), 1)


@board.command("show")
def board_show(
    location: BoardLocation,
    suite: Suite = None,
    rank_from: Annotated[
        RankFrom, typer.Option(help="Rank hidden-seed play only, or replayed runs too.")
    ] = RankFrom.hidden_seed,
    files: Files = None,
    as_json: Json = False,
) -> None:
    """Print a board: every accepted run, with intervals, trust and ranks."""
    if is_url(location):
        from ..leaderboard.client import fetch_rows

        rows = fetch_rows(location, suite)
    else:
        from ..leaderboard.board_rows import board_rows

        rows = board_rows(location, suite, rank_from=rank_from.value, files=files)
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
    """Replay a run and say whether a board would accept it; nothing is submitted."""
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
    location: Database,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free port.")] = 8000,
    workers: Annotated[int, typer.Option(help="Worker processes that verify.", min=0)] = 1,
    rank_from: Annotated[
        RankFrom, typer.Option(help="Rank hidden-seed play only, or replayed runs too.")
    ] = RankFrom.hidden_seed,
    files: Files = None,
) -> None:
    """Serve a board: submissions, verification in the background, hidden-seed play.

    The first start prints an admin token, once. Plain HTTP: put a reverse proxy with TLS before it.
    """
    from ..leaderboard.server.serve import serve

    serve(
        location,
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
    agent: Annotated[str, typer.Option(help="Name of the agent; see: tasteshift list agents")],
    url: ServiceUrl,
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
        str, typer.Option(help="Hardware class; times compare within one class only.")
    ] = "",
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Folder that --resume continues from.", metavar="DIR"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the attempt in --out.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Play one attempt on hidden seeds: users are drawn on the server under a secret key.

    A started attempt is scored even if it is abandoned, and every answer is final. The token is
    read from the environment variable TASTESHIFT_TOKEN.
    """
    from ..agents import make_agent
    from ..leaderboard.client import BoardClient
    from ..leaderboard.hidden.client import Entry, play_hidden

    player = make_agent(agent, decoder=decoder, pair=pair, device=device, dtype=dtype)
    entry = Entry(season, simulator_trained, hardware)
    folder = out_dir or Path("runs") / f"{season}-{agent}"
    try:
        with BoardClient(url, token_for(url)) as service:
            finished = play_hidden(
                player,
                service,
                entry,
                out=folder,
                resume=resume,
                progress=lambda n: progress(f"{agent} plays {season}", n),
            )
    except KeyboardInterrupt:
        fail("stopped; the same command with --resume continues where it was", 1)
    if as_json:
        print_json([finished])
        return
    line = f"attempt {finished['attempt']} is finished; {url} shows its score once it is verified"
    out.print(line, soft_wrap=True, highlight=False, markup=False)


@board.command("token", epilog="Example: tasteshift board token alice --board board.db")
def board_token(
    name: Annotated[str, typer.Argument(help="Name of its owner; submissions show it.")],
    location: Database,
    scope: Annotated[
        Scope, typer.Option(help="submit: submit and play; admin: everything.")
    ] = Scope.submit,
    revoke: Annotated[bool, typer.Option("--revoke", help="Revoke the token for good.")] = False,
    files: Files = None,
) -> None:
    """Issue a token for a served board, or revoke one. It is shown once."""
    from ..leaderboard.store import tokens

    with opened(location, files) as found:
        if not revoke:
            typer.echo(tokens.issue(found, name, scope.value))
        elif not tokens.revoke(found, name):
            raise InputError(f"there is no valid token {name!r}; check its spelling")


@board.command(
    "season",
    epilog="Example: tasteshift board season spring --suite quick@2 "
    "--opens 2027-03-01T00:00Z --closes 2027-06-01T00:00Z --board board.db",
)
def board_season(
    name: Annotated[str, typer.Argument(help="Name of the season: a-z, 0-9 and -.")],
    location: Database,
    suite: Annotated[str, typer.Option(help="The suite that is played, such as quick@2.")],
    opens: Annotated[str, typer.Option(help="Start: ISO 8601 with a time zone.")],
    closes: Annotated[str, typer.Option(help="End, when its secret is published.")],
    files: Files = None,
    as_json: Json = False,
) -> None:
    """Open a season of hidden-seed play, and print the commitment to its secret."""
    from ..leaderboard.store.seasons import open_season
    from ..suites.suite import find_suite

    with opened(location, files) as found:
        season = open_season(found, name, find_suite(suite).id, opens, closes)
    if as_json:
        fields = ("name", "suite", "opens", "closes", "commitment")
        print_json([{field: getattr(season, field) for field in fields}])
    else:
        typer.echo(season.commitment)


@board.command("invalidate")
def board_invalidate(
    number: Annotated[int, typer.Argument(help="Number of the submission.")],
    location: Database,
    reason: Annotated[str, typer.Option(help="Why it no longer counts, in one line.")],
    replaced_by: Annotated[
        int | None, typer.Option(help="Number of the submission that replaces it.", metavar="N")
    ] = None,
    files: Files = None,
) -> None:
    """Declare that a result no longer counts. It stays on the board, with the reason."""
    from ..leaderboard.store.results import invalidate

    with opened(location, files) as found:
        invalidate(found, number, "administrator", reason, replaced_by)


@board.command("retry")
def board_retry(
    number: Annotated[int, typer.Argument(help="Number of the submission.")],
    location: Database,
    files: Files = None,
) -> None:
    """Verify a refused submission again, after a fault of the board itself."""
    from ..leaderboard.store.queue import retry

    with opened(location, files) as found:
        retry(found, number)


@contextmanager
def opened(location: str, files: Path | None) -> Iterator[OpenBoard]:
    """The open board, created where there is none."""
    from ..leaderboard.store.database import open_board

    with open_board(location, create=True, files=files) as found:
        yield found


def is_url(location: str) -> bool:
    """Whether a board is named by an http(s):// address."""
    return location.startswith(("http://", "https://"))


def token_for(url: str) -> str:
    """The token in the environment; raises InputError where there is none."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise InputError(f"this board needs a token; put yours into {TOKEN_VARIABLE}")
    if url.startswith("http://") and not re.match(LOCAL_URL, url):
        err.print("warning: over http:// others can read your token; use https://", highlight=False)
    return token
