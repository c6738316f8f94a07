"""The command line: parses, calls, prints. Everything heavy is imported when it is needed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .errors import AgentError, InputError

if TYPE_CHECKING:
    from .suites.evaluate import Ticker

EPILOG = "Exit status: 0 done, 1 failed or refused, 2 bad input."
SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    help="Measure agentic recommenders on users who change their minds.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
)
board = typer.Typer(
    help="A leaderboard that believes only what it has replayed.",
    no_args_is_help=True,
    context_settings=SETTINGS,
)
app.add_typer(board, name="board")
bench = typer.Typer(
    help="Measure the product itself.", no_args_is_help=True, context_settings=SETTINGS
)
app.add_typer(bench, name="bench")

out = Console()
err = Console(stderr=True)


class Track(StrEnum):
    """As `suites.suite.Track`, for the parser."""

    personal = "personal"
    cohort = "cohort"


class Executor(StrEnum):
    """Where lives are lived."""

    local = "local"
    dask = "dask"


Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table.")]
Board = Annotated[str, typer.Option("--board", help="The board: a database file.", metavar="PATH")]


def version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from . import __version__

        typer.echo(f"tasteshift {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before any command."""


@app.command(epilog="Example: tasteshift run quick --agent linucb --out runs/linucb")
def run(
    suite: Annotated[
        str,
        typer.Argument(help="What to run: a name (tasteshift list suites), or a file of your own."),
    ],
    agent: Annotated[str, typer.Option(help="Who recommends; see: tasteshift list agents")],
    decoder: Annotated[
        str | None, typer.Option(help="How a language-model agent writes its text.")
    ] = None,
    pair: Annotated[
        str | None, typer.Option(help="Its models: a name, or hf:TARGET,DRAFT (two folders).")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="World seeds 0 … N−1.", metavar="N")] = None,
    users: Annotated[int | None, typer.Option(help="Users per seed and task.", metavar="N")] = None,
    track: Annotated[
        Track | None,
        typer.Option(help="Clone the agent for every user, or let it learn across a seed's users."),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Run directory; by default runs/SUITE-AGENT.", metavar="DIR"),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes that live lives side by side.", metavar="N")
    ] = 1,
    executor: Annotated[
        Executor, typer.Option(help="Processes of this machine, or a Dask cluster.")
    ] = Executor.local,
    scheduler: Annotated[
        str | None,
        typer.Option(help="The Dask scheduler, such as tcp://host:8786.", metavar="ADDRESS"),
    ] = None,
    time_limit: Annotated[
        float, typer.Option(help="Most seconds that one decision may take.", metavar="SECONDS")
    ] = 60.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the unfinished run in --out.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run an agent through a suite, score it, and write a report.

    With other numbers of seeds or users it is another suite, such as quick@2+users=4.
    """
    from .suites.evaluate import evaluate

    try:
        finished = evaluate(
            agent,
            suite,
            seeds=seeds,
            users=users,
            out=out_dir,
            decoder=decoder,
            pair=pair,
            track=None if track is None else track.value,
            workers=workers,
            executor=executor.value,
            scheduler=scheduler,
            time_limit=time_limit,
            resume=resume,
            watch=lambda ahead: progress(f"{agent} lives {suite}", ahead),
        )
    except KeyboardInterrupt:
        fail("stopped; the same command with --resume goes on where it was", 1)
    if finished.trouble:
        err.print(finished.trouble, soft_wrap=True, highlight=False, markup=False)
    if as_json:
        print_json(finished.scores.to_dict("records"))
        return
    out.print(score_table(finished.scores.to_dict("records")))
    print_path("Report", finished.out / "report.html")


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="The --out folder of a finished run.")],
    as_json: Json = False,
) -> None:
    """Print the scores of a finished run and write its report.html again."""
    from .suites.evaluate import load_run, rewrite_report

    finished = load_run(run_dir)
    page = rewrite_report(run_dir)
    if as_json:
        print_json(finished.scores.to_dict("records"))
        return
    out.print(score_table(finished.scores.to_dict("records")))
    print_path("Report", page)


@app.command(epilog="Example: tasteshift compare runs/linucb runs/popular")
def compare(
    run_dirs: Annotated[
        list[Path], typer.Argument(help="The --out folders of finished runs.", metavar="DIR DIR…")
    ],
    metric: Annotated[
        str, typer.Option(help="normalised_return, reward, regret or a safety rate.")
    ] = "normalised_return",
    as_json: Json = False,
) -> None:
    """Compare finished runs of one suite: rank groups, differences, and users that would tell."""
    from .suites.compare import compare as compare_runs

    found = compare_runs(run_dirs, metric)
    if as_json:
        print_json(found.rows())
        return
    from .suites.comparison_table import heading, pairs_table, standings_table

    out.print(heading(found), soft_wrap=True, highlight=False)
    out.print(standings_table(found))
    out.print()
    out.print(pairs_table(found))


@app.command("list")
def list_names(
    what: Annotated[
        str,
        typer.Argument(
            help="suites, tasks, agents, decoders, pairs, scenarios, catalogs or metrics"
        ),
    ],
    name: Annotated[str | None, typer.Argument(help="Only the one of this name.")] = None,
    as_json: Json = False,
) -> None:
    """List what can be named on the command line."""
    from .suites.listing import listing

    rows = listing(what, name)
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    out.print(table)


@app.command(epilog="Example: tasteshift submit runs/linucb --board board.db")
def submit(
    run_dir: Annotated[Path, typer.Argument(help="The --out folder of a finished run.")],
    board_path: Board,
    as_json: Json = False,
) -> None:
    """Replay a run and, if every outcome matches, put it on a board."""
    from .leaderboard.submission import submit as submit_run

    verdict = submit_run(run_dir, board_path, watch=lambda n: progress("replaying", n))
    if as_json:
        print_json([verdict.row()])
    elif verdict.accepted:
        out.print(verdict.line(), soft_wrap=True, highlight=False)
    if not verdict.accepted:
        fail(verdict.line(), 1)


@bench.command("envs", epilog="Example: tasteshift bench envs --users 40 --workers 2")
def bench_envs(
    users: Annotated[int, typer.Option(help="Users per scenario and policy.", min=1)] = 40,
    catalog: Annotated[str, typer.Option(help="Whose items and users.")] = "movielens-100k",
    workers: Annotated[int, typer.Option(help="Processes for the ladder.", min=1)] = 2,
    as_json: Json = False,
) -> None:
    """Whether every scenario tells good agents from bad ones, and how fast the world turns."""
    from .envs.scenarios import SCENARIOS
    from .suites.bench.ladder import ladder
    from .suites.bench.speed import speeds

    with progress("measuring speed", 1) as tick:
        speed = list(speeds())
        tick("speed")
    with progress("climbing", len(SCENARIOS.names())) as tick:
        rungs = []
        for one in ladder(catalog, users, workers=workers):
            rungs.append(one)
            tick(one.scenario)
    if as_json:
        document = {"ladder": [one.row() for one in rungs], "speed": speed}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
        return
    from .suites.bench.tables import ladder_table, speed_table

    out.print(ladder_table(rungs))
    out.print(speed_table(speed))


@bench.command("safety", epilog="Example: tasteshift bench safety --users 40")
def bench_safety(
    users: Annotated[int, typer.Option(help="Users per scenario and policy.", min=1)] = 40,
    catalog: Annotated[str, typer.Option(help="Whose items and users.")] = "movielens-100k",
    as_json: Json = False,
) -> None:
    """Whether the scenarios about safety tempt, cannot be solved by labels, and cost little."""
    from .suites.bench.admission import POISONED_SCENARIOS, SAFETY_SCENARIOS, admission, poisoning

    with progress("tempting", len(SAFETY_SCENARIOS) + len(POISONED_SCENARIOS)) as tick:
        tempted, poisoned = [], []
        for scenario in SAFETY_SCENARIOS:
            tempted.append(admission(catalog, scenario, users))
            tick(scenario)
        for scenario in POISONED_SCENARIOS:
            poisoned.append(poisoning(catalog, scenario, users))
            tick(scenario)
    if as_json:
        document = {
            "admission": [one.row() for one in tempted],
            "poisoning": [one.row() for one in poisoned],
        }
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
        return
    from .suites.bench.tables import admission_table, poisoning_table

    out.print(admission_table(tempted))
    out.print(poisoning_table(poisoned))


@board.command("show")
def board_show(
    board_path: Board,
    suite: Annotated[str | None, typer.Option(help="Only this suite, such as quick@2.")] = None,
    as_json: Json = False,
) -> None:
    """Print a board: every accepted run with its intervals and how far it is believed."""
    from .leaderboard.board import board_rows

    rows = board_rows(board_path, suite)
    if as_json:
        print_json(rows)
        return
    from .leaderboard.table import board_table

    out.print(board_table(rows))


def score_table(rows: list[dict[str, Any]]) -> Table:
    """Scores for people: a block a task; value with interval, unit, and which way is better.

    n counts users, or on the cohort track cohorts.
    """
    from .suites.report.page import number

    arrows = {"higher": "↑", "lower": "↓", "none": " "}
    table = Table(box=None, pad_edge=False, caption="95 % intervals over users or cohorts")
    for name in ("metric", "", "value", "95 % interval", "n", "unit"):
        right = name in ("value", "n")
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "unit")
    for task in dict.fromkeys(row["task"] for row in rows):
        table.add_row(Text(task, style="bold"))
        for row in (row for row in rows if row["task"] == task):
            table.add_row(
                Text(f"  {row['metric']}"),
                arrows[row["direction"]],
                number(row["value"], row["unit"]),
                interval_text(row),
                str(row["n"]),
                row["unit"],
            )
    return table


def interval_text(row: dict[str, Any]) -> str:
    """Both ends of an interval, or the one that it has; table markup escaped."""
    from .metrics.statistics import FEWEST_CLUSTERS
    from .suites.report.page import number

    unit = row["unit"]
    low, high = (None if row[end] != row[end] else row[end] for end in ("low", "high"))
    if low is None:
        return "n is too small" if row["n"] < FEWEST_CLUSTERS else "none"
    if high is None:
        return f"at least {number(low, unit)}"
    return rf"\[{number(low, unit)}, {number(high, unit)}]"


@contextmanager
def progress(label: str, total: int) -> Iterator[Ticker]:
    """A progress bar with rate and time left on standard error, where a person reads it."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    class Rate(ProgressColumn):
        """How many are done in a second."""

        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.1f}/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bars:
        bar = bars.add_task(escape(label), total=total)

        def tick(task: str) -> None:
            bars.update(bar, advance=1, description=escape(f"{label}: {task}"))

        yield tick


def print_path(what: str, path: Path) -> None:
    """Where something is, whatever characters its name has."""
    out.print(f"{what}: {path}", soft_wrap=True, highlight=False, markup=False)


def print_json(rows: Any) -> None:
    """One JSON document on standard output; NaN (no interval) becomes null."""
    clean = [{k: None if v != v else v for k, v in row.items()} for row in rows]
    typer.echo(json.dumps(clean, ensure_ascii=False, indent=1, default=str))


def fail(message: str, status: int) -> NoReturn:
    """One line on standard error, and out."""
    typer.echo(f"error: {message}".replace("\n", " "), err=True)
    raise typer.Exit(status)


def main() -> None:
    """Entry point of the `tasteshift` command."""
    try:
        app()
    except OSError as error:
        what = f"{error.filename or 'a file'}: {error.strerror or error}"
        what += "; mend that, and go on with --resume where a run was under way"
        typer.echo(f"error: {what}", err=True)
        sys.exit(1)
    except (InputError, AgentError) as error:
        typer.echo(f"error: {error}".replace("\n", " "), err=True)
        sys.exit(2 if isinstance(error, InputError) else 1)


if __name__ == "__main__":
    main()
