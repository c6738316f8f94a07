"""Benchmarks of the world as tables for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from ..metrics.statistics import Estimate
from .ladder import RUNGS, Rungs


def ladder_table(ladder: Iterable[Rungs]) -> Table:
    """A row a scenario: rewards of both ends, and the place of every rung between them."""
    between = [name for name in RUNGS if name != "random"]
    table = Table(
        box=None,
        pad_edge=False,
        caption="shares of the room between random (0) and the better oracle (1); 95 % intervals",
    )
    for name in ("scenario", "users", "random earns", "oracle earns", *between, "holds"):
        table.add_column(name, justify="left" if name in ("scenario", "holds") else "right")
    for one in ladder:
        ends = (f"{one.reward[name]:.1f}" for name in ("random", "oracle"))
        places = (_place(one.share[name]) for name in between)
        table.add_row(
            one.scenario, str(one.users), *ends, *places, "yes" if one.holds else "[bold red]NO[/]"
        )
    return table


def speed_table(rows: Iterable[dict[str, Any]]) -> Table:
    """A row a figure, with what is promised where something is."""
    table = Table(box=None, pad_edge=False, caption="medians of rounds in which all took turns")
    for name in ("what", "measured", "promised", "unit"):
        table.add_column(name, justify="right" if name in ("measured", "promised") else "left")
    for row in rows:
        bar = row["bar"]
        table.add_row(
            row["what"], _number(row["value"]), "" if bar is None else _number(bar), row["unit"]
        )
    return table


def _place(share: Estimate) -> str:
    if share.low is None or share.high is None:
        return f"{share.value:.2f}"
    return rf"{share.value:.2f} \[{share.low:.2f}, {share.high:.2f}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
