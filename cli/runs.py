"""Commands `run`, `report`, `compare` and `list`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from .app import app
from .models import DecoderName, DeviceName, PairName, TypeName
from .screen import Json, err, fail, out, print_json, print_path, progress, score_table


class Track(StrEnum):
    """Values of ``--track``; see `suites.suite.Track`."""

    personal = "personal"
    cohort = "cohort"


class Executor(StrEnum):
    """Values of ``--executor``."""

    local = "local"
    dask = "dask"


@app.command(epilog="Example: tasteshift run quick --agent linucb --out runs/linucb")
def run(
    suite: Annotated[
        str,
        typer.Argument(help="Name of a suite (tasteshift list suites), or a YAML or JSON file."),
    ],
    agent: Annotated[str, typer.Option(help="Agent to evaluate; see: tasteshift list agents")],
    decoder: DecoderName = None,
    pair: PairName = None,
    device: DeviceName = None,
    dtype: TypeName = None,
    seeds: Annotated[
        int | None, typer.Option(help="Number of environment seeds: 0 … N−1.", metavar="N")
    ] = None,
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
        int,
        typer.Option(
            help="Worker processes; the scores do not depend on their number.", metavar="N"
        ),
    ] = 1,
    executor: Annotated[
        Executor, typer.Option(help="Run on this machine, or on a Dask cluster.")
    ] = Executor.local,
    scheduler: Annotated[
        str | None,
        typer.Option(help="The Dask scheduler, such as tcp://host:8786.", metavar="ADDRESS"),
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option(
            help="Seconds after which one decision counts as timed out.", metavar="SECONDS"
        ),
    ] = 60.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the unfinished run in --out.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run an agent through a suite, score it, and write a report.

    Other numbers of seeds or users define another suite, such as quick@2+users=4, never ranked.
    """
    from ..suites.evaluate import evaluate

    try:
        finished = evaluate(
            agent,
            suite,
            seeds=seeds,
            users=users,
            out=out_dir,
            decoder=decoder,
            pair=pair,
            device=device,
            dtype=dtype,
            track=None if track is None else track.value,
            workers=workers,
            executor=executor.value,
            scheduler=scheduler,
            time_limit=time_limit,
            resume=resume,
            progress=lambda episodes: progress(agent, episodes, "episodes"),
        )
    except KeyboardInterrupt:
        fail("interrupted; run the same command with --resume to continue", 1)
    if finished.failures:
        err.print(finished.failures, soft_wrap=True, highlight=False, markup=False)
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
    from ..suites.evaluate import load_run
    from ..suites.run_report import rewrite_report

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
        str, typer.Option(help="normalized_return, reward, regret or a safety rate.")
    ] = "normalized_return",
    as_json: Json = False,
) -> None:
    """Compare finished runs of one suite: rank groups, paired differences, and users needed."""
    from ..suites.compare import compare as compare_runs

    found = compare_runs(run_dirs, metric)
    if as_json:
        print_json(found.rows())
        return
    from ..suites.comparison_tables import heading, pairs_table, scores_table

    out.print(heading(found), soft_wrap=True, highlight=False)
    out.print(scores_table(found))
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
    name: Annotated[str | None, typer.Argument(help="Show only the entry of this name.")] = None,
    as_json: Json = False,
) -> None:
    """List suites, tasks, agents, decoders, pairs, scenarios, catalogs or metrics."""
    from .listing import listing

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
