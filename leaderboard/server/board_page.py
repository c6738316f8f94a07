"""The board as one HTML page: no script, nothing from other hosts, every text escaped."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Any

from ..verification.recomputed_scores import PRIMARY_METRIC

STYLE = (
    "body{font:16px/1.4 sans-serif;margin:2rem;max-width:80rem}"
    "table{border-collapse:collapse}"
    "th,td{padding:.3rem .7rem;border-bottom:1px solid #ccc;text-align:left}"
    ".number{text-align:right;font-variant-numeric:tabular-nums}"
)
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'"
COLUMNS = ("Rank", "Agent", "Decoder", "Suite", "Normalized return", "Trust", "Tasks", "Note")


def board_page(rows: list[dict[str, Any]]) -> str:
    """HTML of the rows of `board_rows`."""
    head = "".join(f"<th scope=col>{name}</th>" for name in COLUMNS)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    empty = "" if rows else "<p>No submission was accepted yet.</p>"
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>TasteShift board</title>"
        f"<style>{STYLE}</style></head><body><h1>TasteShift board</h1>"
        "<p>Every run here was replayed by the board, or played on hidden seeds.</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{empty}</body></html>"
    )


def _cells(row: dict[str, Any]) -> str:
    names = (row["agent"], row["decoder"], row["suite"])
    notes = [row.get("unranked") or "", row.get("invalidated_by") or ""]
    if row["attempt_scores"]:
        notes.append(f"mean of {row['attempts']}: {row['attempt_scores']}")
    if row["simulator_trained"]:
        notes.append("trained on this simulator")
    if row.get("same_actions") is not None:
        notes.append(f"shows the same slates as #{row['same_actions']}")
    last = (row["trust"], row["tasks"], "; ".join(note for note in notes if note))
    return (
        f"<td class=number>{escape(_rank(row))}</td>"
        + "".join(f"<td>{escape(str(name))}</td>" for name in names)
        + f"<td class=number>{escape(_score(row))}</td>"
        + "".join(f"<td>{escape(str(text))}</td>" for text in last)
    )


def _rank(row: dict[str, Any]) -> str:
    low, high = row["rank_low"], row["rank_high"]
    if low is None:
        return "–"
    return f"{low}" if low == high else f"{low}–{high}"


def _score(row: dict[str, Any]) -> str:
    if PRIMARY_METRIC not in row:
        return "–"
    low, high = row[f"{PRIMARY_METRIC}_low"], row[f"{PRIMARY_METRIC}_high"]
    ends = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"{row[PRIMARY_METRIC]:.2f}{ends}"
