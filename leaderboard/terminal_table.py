"""The rows of a board as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from .verification.recomputed_scores import PRIMARY_METRIC

MILLISECONDS = 1000
CAPTION = (
    "Below each value: its 95 % interval over users. replayed: every outcome was replayed and "
    "matched bit for bit. hidden-seed: played against users drawn under a secret key; the row is "
    "the mean of all attempts (×). †: reported only: consistent, but not verified by replay. "
    "‡: trained on this simulator, as declared by its submitter. Where tasks are missing, values "
    "are over those that were played."
)
WHY_UNRANKED = {
    "public seeds": "runs on public seeds are not ranked",
    "tasks missing": "tasks are missing",
    "other numbers of users or seeds": "the suite was overridden",
    "privileged": "marked *: a reference policy that receives the ground truth",
    "same slates as an earlier run": "has the same slates as an earlier run",
    "no score": "no score",
    "an attempt was not scored": "an attempt of the same agent could not be scored yet",
    "invalidated": "invalidated",
}


def board_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows of `board_rows` for a terminal of 100 columns or more."""
    if not rows:
        return Table("There are no accepted submissions yet.", box=None)
    reasons = dict.fromkeys(row["unranked"] for row in rows if row["unranked"])
    why = "; ".join(WHY_UNRANKED.get(reason, reason) for reason in reasons)
    which = (
        "Rows without a rank" if any(not row["unranked"] for row in rows) else "No row is ranked"
    )
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    table.caption_justify = "left"
    table.caption = f"{CAPTION} {which}: {why}." if why else CAPTION
    metrics = _columns(rows)
    for name in ("rank\n#", "agent\ndecoder", "tasks\ntrust"):
        table.add_column(name, no_wrap=True)
    for metric, (title, _) in metrics.items():
        only_reported = any(row.get(f"{metric}_trust") == "reported" for row in rows)
        table.add_column(title + "†" * only_reported, justify="right")
    for suite, group in groupby(rows, lambda row: row["suite"]):
        table.add_section()
        table.add_row("", Text(suite, style="bold"))
        for row in group:
            marks = "*" * (row["unranked"] == "privileged") + "‡" * bool(row["simulator_trained"])
            agent = Text(row["agent"] + marks)
            if row["decoder"]:
                agent.append(f"\n{row['decoder']}", style="dim")
            cells = [_value_cell(row, metric, unit) for metric, (_, unit) in metrics.items()]
            played = f"{row['tasks']} ×{row['attempts']}" if row["attempt_scores"] else row["tasks"]
            table.add_row(_rank_cell(row), agent, f"{played}\n{row['trust']}", *cells)
    return table


def _rank_cell(row: dict[str, Any]) -> Text:
    """The range of ranks, such as 1–2, above the number #7; a dash without a rank."""
    low, high = row["rank_low"], row["rank_high"]
    rank = "–" if low is None else f"{low}" if low == high else f"{low}–{high}"
    return Text(rank).append(f"\n#{row['id']}", style="dim")


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[str, float]]:
    """Map each metric to its heading and the factor for its values."""
    shared = dict.fromkeys(row["shared_task"] for row in rows if row["shared_task"])
    of_tasks = {f"{task}/{PRIMARY_METRIC}": (f"return\n{task}", 1.0) for task in shared}
    return {
        PRIMARY_METRIC: ("return\nall tasks", 1.0),
        **of_tasks,
        "maturity_breaches": ("breaches\nper 1000", 1.0),
        "acceptance_rate": ("acceptance\nrate", 1.0),
        "mean_acceptance_length": ("tokens\nper pass", 1.0),
        "decision_latency_p50": ("p50 of a\nturn, ms", MILLISECONDS),
    }


def _value_cell(row: dict[str, Any], metric: str, unit: float) -> Text:
    """The value above its interval, such as [0.37, 0.48]; a dash where the metric is missing."""
    value, low, high = (row.get(f"{metric}{end}") for end in ("", "_low", "_high"))
    if value is None:
        return Text("–", style="dim")
    cell = Text(_number(value * unit))
    if low is not None and high is not None:
        cell.append(f"\n[{_number(low * unit)}, {_number(high * unit)}]", style="dim")
    return cell


def _number(value: float) -> str:
    """Format with up to three significant digits from 1 on, below with two decimals or digits."""
    size = abs(value)
    if 0 < size < 0.005:
        return f"{value:.2g}"
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
