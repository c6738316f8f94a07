"""Decoders side by side, for people: how fast, by which guesses, how faithful."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.markup import escape
from rich.table import Table

Row = dict[str, Any]

LONGEST = 8
BARS = " ▁▂▃▄▅▆▇█"

PAPER = {"acceptance": 2.64, "speed": 1.75}
"""What arXiv 2409.10644 reports for its dynamic decoder over multi-candidate decoding."""


def decoding_tables(rows: Sequence[Row]) -> Iterator[Table | str]:
    """Four tables for each temperature and workload, and what they come down to."""
    for (temperature, workload), some in groupby(
        rows, key=lambda row: (row["temperature"], row["workload"])
    ):
        group = list(some)
        first, most = group[0], max(row["prompts"] for row in group)
        title = (
            f"{first['pair']} in {first['dtype']} on {first['device']}, "
            f"{first['threads']} threads, T = {temperature}, {workload}, {most} prompts; "
            f"a target pass of {first['target_parameters'] / 1e6:,.0f} M parameters takes "
            f"{1e3 * first['target_pass_seconds']:.1f} ms (to read its weights once takes "
            f"{1e3 * first['floor_seconds']:.1f}), a draft's {first['draft_cost_ratio']:.2f} of it"
            f"{_memory(first)}"
        )
        there = [row for row in group if not row["note"]]
        yield speed_table(group, title)
        yield latency_table(there)
        yield guess_table(there)
        yield fidelity_table(there)
        for line in verdicts(group):
            yield escape(line)


def speed_table(rows: Iterable[Row], title: str) -> Table:
    """Speeds after the prefill, as medians over prompts."""
    table = _table(
        "medians over prompts with 95 % intervals; speed-ups are ratios within a prompt, over "
        "AR: autoregressive, HF: transformers generate",
        *("tokens/s", "× AR", "× mcsd", "× HF"),
    )
    table.title, table.title_justify = escape(title), "left"
    for row in rows:
        columns = ("speedup_ar", "speedup_mcsd", "speedup_transformers")
        ratios = (_between(row, column, ".2f", "\n") for column in columns)
        cells = (_between(row, "tokens_per_s", ".0f", "\n"), *ratios)
        table.add_row(escape(row["decoder"]), *map(escape, [row["note"]] if row["note"] else cells))
    return table


def latency_table(rows: Iterable[Row]) -> Table:
    """How long tokens are waited for, and where the time of the rounds goes."""
    table = _table(
        "tokens/s, all: prefill included; token ms: a round's time by its tokens; host: between "
        "passes, which is in the other three too",
        *("tokens/s, all", "first ms", "token ms p50/p95", "draft/verify/decide %", "host %"),
    )
    for row in rows:
        waits = (_number(row[f"inter_token_{end}"], ".1f", 1e3) for end in ("p50", "p95"))
        parts = (row[f"share_{part}"] for part in ("draft", "verify", "decide"))
        table.add_row(
            escape(row["decoder"]),
            _number(row["tokens_per_s_total"], ".0f"),
            _number(row["ttft_p50"], ".1f", 1e3),
            "/".join(waits),
            "/".join(_number(part, ".0f", 100) for part in parts),
            _number(row["share_host"], ".0f", 100),
        )
    return table


def guess_table(rows: Iterable[Row]) -> Table:
    """What was guessed, and how much of it was accepted."""
    table = _table(
        "accepted: of the depth that a round could draft, and of the depth that it did",
        *("accepted", "of drafted", "tokens/pass", "nodes/round", "/token", f"0 … {LONGEST}+"),
    )
    for row in rows:
        table.add_row(
            escape(row["decoder"]),
            _number(row["acceptance_rate"], ".1%"),
            _number(row["acceptance_rate_drafted"], ".1%"),
            _number(row["mean_acceptance_length"], ".2f"),
            _number(row["nodes_per_round"], ".1f"),
            _number(row["nodes_per_token"], ".1f"),
            histogram(row["accepted_lengths"]),
        )
    return table


def fidelity_table(rows: Iterable[Row]) -> Table:
    """Whether the text is still the target's."""
    table = _table(
        "match: tokens that are the target's own or nearly tie with it; own flips: places where "
        "autoregressive itself takes another token in passes of more rows; distance: total "
        "variation of two tokens at T > 0, and what an exact decoder shows; p: smallest of a "
        "decoder's tests, adjusted for all tests (Holm)",
        *("exact", "match", "near ties", "own flips", "distance", "p"),
    )
    for row in rows:
        distance = None if row["tv"] is None else f"{row['tv']:.3f} ({row['tv_floor']:.3f})"
        table.add_row(
            escape(row["decoder"]),
            {True: "yes", False: "[bold red]NO[/]", None: "–"}[row["exact"]],
            _number(row["token_match"], ".2%"),
            _number(row["near_ties"], "d"),
            _number(row["own_flips"], ".1f"),
            distance or "–",
            _number(row["law_p"], ".2g"),
        )
    return table


def batch_tables(rows: Sequence[Row]) -> Iterator[Table]:
    """What texts side by side are worth: a table for each temperature and workload."""
    for (temperature, workload), some in groupby(
        rows, key=lambda row: (row["temperature"], row["workload"])
    ):
        group = list(some)
        first = group[0]
        table = _table(
            "medians over blocks of prompts, prefill included; × alone: over the same decoder, one "
            "text after the other",
            *("batch", "tokens/s", "× alone", "× AR", "× mcsd", "tokens/pass", "match"),
        )
        table.title, table.title_justify = (
            escape(
                f"{first['pair']} in {first['dtype']} on {first['device']}, {first['threads']} "
                f"threads, T = {temperature}, {workload}, {first['prompts']} prompts"
                f"{_memory(first)}"
            ),
            "left",
        )
        for row in group:
            ratios = ("speedup_alone", "speedup_ar", "speedup_mcsd")
            table.add_row(
                escape(row["decoder"]),
                str(row["batch"]),
                escape(_between(row, "tokens_per_s", ".0f")),
                *(escape(_between(row, column, ".2f")) for column in ratios),
                _number(row["mean_acceptance_length"], ".2f"),
                _number(row["token_match"], ".2%"),
            )
        yield table


def histogram(lengths: Sequence[int]) -> str:
    """A bar for each accepted length from 0 to `LONGEST`; the last one holds all above it too."""
    total = sum(lengths)
    if not total:
        return "–"
    more = sum(lengths[LONGEST:])
    counts = [*lengths[:LONGEST], *([more] if more else [])]
    return "".join(BARS[-(-count * (len(BARS) - 1) // total)] for count in counts)


def verdicts(rows: Sequence[Row]) -> Iterator[str]:
    """The ratios that were promised or published, where the rows for them are there."""
    plain = {row["decoder"]: row for row in rows}
    if "exact-dynamic" in plain:
        row = plain["exact-dynamic"]
        against = {
            "autoregressive": "speedup_ar",
            "mcsd": "speedup_mcsd",
            row["best_tuned"]: "speedup_tuned",
            row["best_peer"]: "speedup_peer",
        }
        found = (
            f"{_between(row, column, '.2f')} × {name}" for name, column in against.items() if name
        )
        yield "exact-dynamic: " + ", ".join(found)
        if row["planned_tokens_per_s"]:
            made = row["rounds_per_s"] * row["mean_acceptance_length"]
            yield (
                f"exact-dynamic planned {row['planned_tokens_per_s']:.0f} tokens/s, "
                f"{row['planned_block_efficiency']:.2f} a pass; it wrote {made:.0f}, "
                f"{row['mean_acceptance_length']:.2f} a pass"
            )
        peer = plain.get(row["best_peer"])
        if peer and peer["speedup_transformers"] and row["speedup_ar"]:
            yield (
                "each over plain decoding through the same pass: exact-dynamic "
                f"{row['speedup_ar']:.2f} ×, {peer['decoder']} {peer['speedup_transformers']:.2f} ×"
            )
    mcsd, dynamic = plain.get("mcsd"), plain.get("target-init-dynamic")
    if mcsd and dynamic and mcsd["acceptance_rate"]:
        ratio = dynamic["acceptance_rate"] / mcsd["acceptance_rate"]
        fidelity = (
            f"token match {dynamic['token_match']:.2%}"
            if dynamic["token_match"] is not None
            else f"distance {_number(dynamic['tv'], '.3f')}, p {_number(dynamic['law_p'], '.2g')}"
        )
        yield (
            f"target-init-dynamic over mcsd: acceptance {ratio:.2f} × (paper "
            f"{PAPER['acceptance']}), speed {_between(dynamic, 'speedup_mcsd', '.2f')} × (paper "
            f"{PAPER['speed']}); not exact: {fidelity}"
        )


def _table(caption: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, caption=caption, caption_justify="left")
    table.add_column("decoder", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _between(row: Row, column: str, form: str, gap: str = " ") -> str:
    value, low, high = (row[f"{column}{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return "–"
    if low is None or high is None:
        return f"{value:{form}}"
    return f"{value:{form}}{gap}[{low:{form}}, {high:{form}}]"


def _memory(row: Row) -> str:
    held = row["device_memory"]
    return "" if held is None else f"; at most {held / 1e9:.1f} GB of its memory held"


def _number(value: float | None, form: str, scale: float = 1.0) -> str:
    if value is None:
        return "–"
    return format(value if form == "d" else value * scale, form)
