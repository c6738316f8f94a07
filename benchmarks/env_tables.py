"""Benchmarks of environments and scenarios as tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from ..metrics.statistics import Estimate
from .env_speed import MAX_MEMORY_GB, MAX_SLOWDOWN, TARGET_SPEEDUP
from .safety_scenarios import (
    MAX_POPULAR,
    MAX_REMOVED,
    MIN_BROKEN,
    MIN_CHARTS,
    MIN_KEPT,
    PoisoningCheck,
    RuleCheck,
)
from .scenario_difficulty import POLICIES, ScenarioDifficulty


def difficulty_table(scenarios: Iterable[ScenarioDifficulty]) -> Table:
    """A row per scenario: returns of random and oracle, normalized returns of the others."""
    between = [name for name in POLICIES if name != "random"]
    table = _table(
        "returns normalized between random (0) and the better oracle (1); 95 % intervals",
        *("scenario", "users", "random", "oracle", *between, "passes"),
    )
    for one in scenarios:
        ends = (f"{one.returns[name]:.1f}" for name in ("random", "oracle"))
        shares = (_interval(one.normalized[name]) for name in between)
        table.add_row(one.scenario, str(one.users), *ends, *shares, _verdict(one.passes))
    return table


def rule_table(rows: Iterable[RuleCheck]) -> Table:
    """A row per scenario about rules: how often they are broken, and what keeping them costs."""
    table = _table(
        "shares of slates that break a rule, and of utility; 95 % intervals over users",
        *("scenario", "users", f"without rules, ≥ {MIN_BROKEN:.0%}", "label filter"),
        *(f"removed, ≤ {MAX_REMOVED:.0%}", "safe oracle", f"utility kept, ≥ {MIN_KEPT:.0%}"),
        "passes",
    )
    for one in rows:
        shares = (one.unconstrained, one.filtered, one.removed, one.safe, one.kept)
        table.add_row(one.scenario, str(one.users), *map(_interval, shares), _verdict(one.passes))
    return table


def poisoning_table(rows: Iterable[PoisoningCheck]) -> Table:
    """A row per poisoned scenario: how often each policy shows tampered items."""
    table = _table(
        "shares of slates with a tampered item; 95 % intervals over users",
        *("scenario", "users", f"charts, ≥ {MIN_CHARTS:.0%}", f"popular, ≤ {MAX_POPULAR:.0%}"),
        "passes",
    )
    for one in rows:
        shares = (one.charts, one.popular)
        table.add_row(one.scenario, str(one.users), *map(_interval, shares), _verdict(one.passes))
    return table


def speed_table(rows: Iterable[dict[str, Any]]) -> Table:
    """A row per environment, with targets where the project promises one."""
    table = _table(
        "medians of interleaved rounds; slowdown: cost of a step over that with 1,000 items; "
        "GB: memory of 100,000 users",
        *(
            "name",
            "environments",
            "items",
            "user-steps/s",
            "target",
            f"× sardine, ≥ {TARGET_SPEEDUP:.0f}",
        ),
        *(f"slowdown, ≤ {MAX_SLOWDOWN}", f"GB, ≤ {MAX_MEMORY_GB:.0f}"),
    )
    for row in rows:
        columns = ("num_envs", "num_items", "user_steps_per_s", "target", "speedup_sardine")
        cells = (_number(row[name]) for name in (*columns, "slowdown_items", "memory_gb"))
        table.add_row(row["name"], *cells)
    return table


def _table(caption: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, caption=caption)
    for name in columns:
        left = name in ("name", "scenario", "passes")
        table.add_column(name, justify="left" if left else "right")
    return table


def _verdict(good: bool) -> str:
    return "yes" if good else "[bold red]NO[/]"


def _interval(share: Estimate | None) -> str:
    if share is None:
        return "–"
    if share.low is None or share.high is None:
        return f"{share.value:.2f}"
    return rf"{share.value:.2f} \[{share.low:.2f}, {share.high:.2f}]"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
