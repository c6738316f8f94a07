"""Terminal output: tables, progress bars, JSON and one-line errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ..suites.engine.progress import ProgressCallback

out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table.")]


def score_table(rows: list[dict[str, Any]]) -> Table:
    """Scores as a table with a block per task: value, interval, unit and direction.

    n counts users, or on the cohort track cohorts.
    """
    from ..suites.report.page import number

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
    """An interval as text, or the one end that it has; table markup is escaped."""
    from ..metrics.statistics import FEWEST_CLUSTERS
    from ..suites.report.page import number

    unit = row["unit"]
    low, high = (None if row[end] != row[end] else row[end] for end in ("low", "high"))
    if low is None:
        return "n is too small" if row["n"] < FEWEST_CLUSTERS else "none"
    if high is None:
        return f"at least {number(low, unit)}"
    return rf"\[{number(low, unit)}, {number(high, unit)}]"


@contextmanager
def progress(label: str, total: int, unit: str = "") -> Iterator[ProgressCallback]:
    """A progress bar with rate and remaining time, on standard error.

    label  what is running, such as the agent's name
    unit   what is counted, such as "episodes"
    """
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
        """Finished items per second."""

        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.1f}/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bars:
        bar = bars.add_task(escape(label), total=total)

        def update(item: str) -> None:
            bars.update(bar, advance=1, description=escape(f"{label}: {item}"))

        yield update


def print_path(what: str, path: Path) -> None:
    """Print a labelled path without interpreting markup in it."""
    out.print(f"{what}: {path}", soft_wrap=True, highlight=False, markup=False)


def print_json(rows: Any) -> None:
    """Print rows as one JSON document on standard output; NaN (no interval) becomes null."""
    clean = [{k: None if v != v else v for k, v in row.items()} for row in rows]
    typer.echo(json.dumps(clean, ensure_ascii=False, indent=1, default=str))


def fail(message: str, status: int) -> NoReturn:
    """Print one line on standard error and exit with `status`."""
    typer.echo(f"error: {message}".replace("\n", " "), err=True)
    raise typer.Exit(status)
