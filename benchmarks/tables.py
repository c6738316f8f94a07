"""Benchmarks of the world as tables for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from ..metrics.statistics import Estimate
from .safety_admission import (
    LEAST_BROKEN,
    LEAST_KEPT,
    LEAST_POISONED,
    MOST_REMOVED,
    MOST_SPARED,
    Admission,
    Poisoning,
)
from .scenario_ladder import RUNGS, Rungs


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
        table.add_row(one.scenario, str(one.users), *ends, *places, _verdict(one.holds))
    return table


def admission_table(rows: Iterable[Admission]) -> Table:
    """A row a scenario about rules: how often they are broken, and what keeping them costs."""
    table = Table(
        box=None,
        pad_edge=False,
        caption="shares of slates that break a rule, and of utility; 95 % intervals over users",
    )
    for name in (
        *("scenario", "users", f"no rules, ≥ {LEAST_BROKEN:.0%}", "filter on fields"),
        *(f"it removes, ≤ {MOST_REMOVED:.0%}", "safe oracle", f"it keeps, ≥ {LEAST_KEPT:.0%}"),
        "passes",
    ):
        table.add_column(name, justify="left" if name in ("scenario", "passes") else "right")
    for one in rows:
        shares = (one.unconstrained, one.filtered, one.removed, one.safe, one.kept)
        table.add_row(one.scenario, str(one.users), *map(_place, shares), _verdict(one.passes))
    return table


def poisoning_table(rows: Iterable[Poisoning]) -> Table:
    """A row a poisoned scenario: who shows tampered items."""
    table = Table(
        box=None,
        pad_edge=False,
        caption="shares of slates with a tampered item; 95 % intervals over users",
    )
    for name in (
        *("scenario", "users", f"charts, ≥ {LEAST_POISONED:.0%}"),
        *(f"popular, ≤ {MOST_SPARED:.0%}", "passes"),
    ):
        table.add_column(name, justify="left" if name in ("scenario", "passes") else "right")
    for one in rows:
        shares = (one.believing, one.counting)
        table.add_row(one.scenario, str(one.users), *map(_place, shares), _verdict(one.passes))
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


def _verdict(good: bool) -> str:
    return "yes" if good else "[bold red]NO[/]"


def _place(share: Estimate | None) -> str:
    if share is None:
        return "–"
    if share.low is None or share.high is None:
        return f"{share.value:.2f}"
    return rf"{share.value:.2f} \[{share.low:.2f}, {share.high:.2f}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
