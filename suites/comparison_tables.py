"""A comparison as two tables for people."""

from __future__ import annotations

from rich.table import Table

from ..metrics.statistics import LEVEL
from .compare import Comparison, Pair


def standings_table(found: Comparison) -> Table:
    """A block a task: every agent with its rank group, best first, and the yardsticks below."""
    table = _table("agents that share a rank cannot be told apart")
    for name in ("rank", "agent", "value", "95 % interval", f"{found.cluster}s"):
        right = name in ("value", f"{found.cluster}s")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    sign = -1 if found.direction == "higher" else 1
    for task in dict.fromkeys(one.task for one in found.standings):
        here = [one for one in found.standings if one.task == task]
        here.sort(key=lambda one: (one.rank_low is None, sign * one.estimate.value))
        table.add_row("", f"[bold]{task}[/]")
        for one in here:
            low, high = one.rank_low, one.rank_high
            rank = "" if low is None else f"{low}" if low == high else f"{low}–{high}"
            style = "dim" if low is None else ""
            value, n = f"{one.estimate.value:.3g}", str(one.estimate.n)
            interval = _interval(one.estimate.low, one.estimate.high)
            table.add_row(rank, f"  {one.agent}", value, interval, n, style=style)
    return table


def pairs_table(found: Comparison) -> Table:
    """A block a task: what separates every two agents."""
    same = {pair.paired for pair in found.pairs}
    how = "different users, compared as samples"
    if True in same:
        how = "different users, but for pairs marked ="
    if False not in same:
        how = "the same users, compared in pairs"
    table = _table(f"{how}; p by Holm over all {len(found.pairs)} rows")
    for name in ("difference", "value", "95 % interval", "p", f"{found.cluster}s to tell"):
        right = name in ("value", "p", f"{found.cluster}s to tell")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for task in dict.fromkeys(pair.task for pair in found.pairs):
        table.add_row(f"[bold]{task}[/]")
        for pair in (pair for pair in found.pairs if pair.task == task):
            mark = " =" if len(same) > 1 and pair.paired else ""
            off = pair.difference
            table.add_row(
                f"  {pair.mine} − {pair.theirs}{mark}",
                f"{off.value:+.3g}",
                _interval(off.low, off.high),
                _verdict(pair),
                _users(pair),
            )
    return table


def heading(found: Comparison) -> str:
    """What is compared, and which way is better."""
    return f"[bold]{found.metric}[/]: {found.unit}, {found.direction} is better"


def _table(caption: str) -> Table:
    return Table(box=None, pad_edge=False, caption=caption, caption_justify="left")


def _users(pair: Pair) -> str:
    if pair.difference.spread is None:
        return "–"
    return "never" if pair.users is None else f"{pair.users:,}"


def _interval(low: float | None, high: float | None) -> str:
    return "none" if low is None or high is None else rf"\[{low:.3g}, {high:.3g}]"


def _verdict(pair: Pair) -> str:
    if pair.p is None:
        return "–"
    text = "< 0.001" if pair.p < 0.001 else f"{pair.p:.3f}"
    return f"[bold]{text}[/]" if pair.p <= 1 - LEVEL else text
