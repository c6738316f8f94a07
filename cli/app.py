"""The command `tasteshift` and its command groups."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..errors import AgentError, InputError

EPILOG = "Exit status: 0 done, 1 failed or refused, 2 bad input."
SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    help="Evaluate recommender agents on simulated users whose preferences change.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
)
board = typer.Typer(
    help="Leaderboard: submit runs, verify them by replay, serve a board.",
    no_args_is_help=True,
    context_settings=SETTINGS,
)
app.add_typer(board, name="board")
bench = typer.Typer(
    help="Benchmarks of TasteShift itself: environments, safety tasks, decoders.",
    no_args_is_help=True,
    context_settings=SETTINGS,
)
app.add_typer(bench, name="bench")


def version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from .. import __version__

        typer.echo(f"tasteshift {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of `tasteshift` itself."""


def main() -> None:
    """Run the `tasteshift` command; exit with 1 on failure and 2 on bad input."""
    try:
        app()
    except OSError as error:
        what = f"{error.filename or 'a file'}: {error.strerror or error}"
        what += "; fix that, then continue an interrupted run with --resume"
        typer.echo(f"error: {what}", err=True)
        sys.exit(1)
    except (InputError, AgentError) as error:
        typer.echo(f"error: {error}".replace("\n", " "), err=True)
        sys.exit(2 if isinstance(error, InputError) else 1)
