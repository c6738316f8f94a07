"""A comparison as two tables for the terminal."""

from __future__ import annotations

from rich.table import Table

from ..metrics.statistics import LEVEL
from .compare import AgentPair, Comparison


def heading(found: Comparison) -> str:
    """The metric that is compared, its unit and its direction."""
    return f"[bold]{found.metric}[/]: {found.unit}, {found.direction} is better"


def scores_table(found: Comparison) -> Table:
    """A block per task: every agent with its rank, best first, then the reference policies."""
    table = _table("equal or overlapping ranks: no significant difference; dim: not ranked")
    clusters = _clusters(found)
    for name in ("rank", "agent", "value", "95 % interval", clusters):
        right = name in ("value", clusters)
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    sign = -1 if found.direction == "higher" else 1
    for task in dict.fromkeys(one.task for one in found.scores):
        rows = [one for one in found.scores if one.task == task]
        rows.sort(key=lambda one: (one.rank_low is None, sign * one.estimate.value))
        table.add_row("", f"[bold]{task}[/]")
        for one in rows:
            low, high = one.rank_low, one.rank_high
            rank = "" if low is None else f"{low}" if low == high else f"{low}–{high}"
            style = "dim" if low is None else ""
            value, n = f"{one.estimate.value:.3g}", str(one.estimate.n)
            interval = _interval(one.estimate.low, one.estimate.high)
            table.add_row(rank, f"  {one.agent}", value, interval, n, style=style)
    return table


def pairs_table(found: Comparison) -> Table:
    """A block per task: the difference between every two agents."""
    paired = {pair.paired for pair in found.pairs}
    how = "different users, compared as samples"
    if True in paired:
        how = "different users, but for pairs marked ="
    if False not in paired:
        how = "the same users, compared in pairs"
    table = _table(f"{how}; p adjusted by Holm over all {len(found.pairs)} rows")
    needed = f"{_clusters(found)} needed"
    for name in ("difference", "value", "95 % interval", "p", needed):
        right = name in ("value", "p", needed)
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for task in dict.fromkeys(pair.task for pair in found.pairs):
        table.add_row(f"[bold]{task}[/]")
        for pair in (pair for pair in found.pairs if pair.task == task):
            mark = " =" if len(paired) > 1 and pair.paired else ""
            off = pair.difference
            table.add_row(
                f"  {pair.first} − {pair.second}{mark}",
                f"{off.value:+.3g}",
                _interval(off.low, off.high),
                _p_value(pair),
                _users_needed(pair),
            )
    return table


def _clusters(found: Comparison) -> str:
    return "users" if found.cluster_by == "user" else "cohorts"


def _table(caption: str) -> Table:
    return Table(box=None, pad_edge=False, caption=caption, caption_justify="left")


def _users_needed(pair: AgentPair) -> str:
    if pair.difference.std is None:
        return "–"
    return "never" if pair.users_needed is None else f"{pair.users_needed:,}"


def _interval(low: float | None, high: float | None) -> str:
    return "none" if low is None or high is None else rf"\[{low:.3g}, {high:.3g}]"


def _p_value(pair: AgentPair) -> str:
    if pair.p is None:
        return "–"
    text = "< 0.001" if pair.p < 0.001 else f"{pair.p:.3f}"
    return f"[bold]{text}[/]" if pair.p <= 1 - LEVEL else text
