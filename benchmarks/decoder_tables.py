"""Decoder benchmark as tables: speed, latency, acceptance, fidelity."""

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
    """Four tables for each temperature and workload, and a summary of the ratios."""
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
        measured = [row for row in group if not row["note"]]
        yield speed_table(group, title)
        yield latency_table(measured)
        yield acceptance_table(measured)
        yield fidelity_table(measured)
        for line in summary(group):
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
    """Latency of tokens, and shares of the rounds' time."""
    table = _table(
        "tokens/s, all: prefill included; token ms: a round's time by its tokens; host: between "
        "passes, which is contained in the other three",
        *("tokens/s, all", "first ms", "token ms p50/p95", "draft/verify/decide %", "host %"),
    )
    for row in rows:
        waits = (_number(row[f"inter_token_{end}"], ".1f", 1e3) for end in ("p50", "p95"))
        parts = (row[f"share_{part}"] for part in ("draft", "verify", "decide"))
        table.add_row(
            escape(row["decoder"]),
            _number(row["tokens_per_s_with_prompt"], ".0f"),
            _number(row["ttft_p50"], ".1f", 1e3),
            "/".join(waits),
            "/".join(_number(part, ".0f", 100) for part in parts),
            _number(row["share_host"], ".0f", 100),
        )
    return table


def acceptance_table(rows: Iterable[Row]) -> Table:
    """Draft tokens proposed and accepted."""
    table = _table(
        "accepted: of the depth that a round could draft, of the depth that it did, and of "
        "all draft tokens",
        *(
            "accepted",
            "of drafted",
            "of tokens",
            "tokens/pass",
            "nodes/round",
            f"0 … {LONGEST}+",
        ),
    )
    for row in rows:
        table.add_row(
            escape(row["decoder"]),
            _number(row["acceptance_rate"], ".1%"),
            _number(row["acceptance_rate_drafted"], ".1%"),
            _number(row["draft_acceptance_rate"], ".1%"),
            _number(row["mean_acceptance_length"], ".2f"),
            _number(row["nodes_per_round"], ".1f"),
            histogram(row["accepted_lengths"]),
        )
    return table


def fidelity_table(rows: Iterable[Row]) -> Table:
    """Fidelity of the text to the target."""
    table = _table(
        "match: tokens that are the target's own or nearly tie with it; own flips: tokens that "
        "autoregressive itself changes in passes of more rows; distance: total variation distance "
        "of two tokens at T > 0, and its mean for a lossless decoder; p: smallest of a "
        "decoder's distribution tests, adjusted for all tests (Holm)",
        *("exact", "match", "near ties", "own flips", "distance", "p"),
    )
    for row in rows:
        distance = (
            None
            if row["tv_distance"] is None
            else f"{row['tv_distance']:.3f} ({row['tv_floor']:.3f})"
        )
        table.add_row(
            escape(row["decoder"]),
            {True: "yes", False: "[bold red]NO[/]", None: "–"}[row["exact"]],
            _number(row["token_match"], ".2%"),
            _number(row["near_ties"], "d"),
            _number(row["own_flips"], ".1f"),
            distance or "–",
            _number(row["distribution_p"], ".2g"),
        )
    return table


def batch_tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Batch benchmark: a table for each temperature and workload."""
    for (temperature, workload), some in groupby(
        rows, key=lambda row: (row["temperature"], row["workload"])
    ):
        group = list(some)
        first = group[0]
        table = _table(
            "medians over blocks of prompts, prefill included; × unbatched: over the same decoder, "
            "one text after the other",
            *("batch", "tokens/s", "× unbatched", "× AR", "× mcsd", "tokens/pass", "match"),
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
            ratios = ("speedup_unbatched", "speedup_ar", "speedup_mcsd")
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
    """A bar for each accepted length from 0 to `LONGEST`; a last one for all above."""
    total = sum(lengths)
    if not total:
        return "–"
    more = sum(lengths[LONGEST:])
    counts = [*lengths[:LONGEST], *([more] if more else [])]
    return "".join(BARS[-(-count * (len(BARS) - 1) // total)] for count in counts)


def summary(rows: Sequence[Row]) -> Iterator[str]:
    """Ratios that have a target or a published value, where the rows for them exist."""
    by_label = {row["decoder"]: row for row in rows}
    if "exact-dynamic" in by_label:
        row = by_label["exact-dynamic"]
        against = {
            "autoregressive": "speedup_ar",
            "mcsd": "speedup_mcsd",
            row["best_tuned"]: "speedup_tuned",
            row["best_reference"]: "speedup_reference",
        }
        found = (
            f"{_between(row, column, '.2f')} × {name}" for name, column in against.items() if name
        )
        yield "exact-dynamic: " + ", ".join(found)
        if row["planned_tokens_per_s"]:
            reached = row["rounds_per_s"] * row["mean_acceptance_length"]
            yield (
                f"exact-dynamic planned {row['planned_tokens_per_s']:.0f} tokens/s, "
                f"{row['planned_acceptance_length']:.2f} a pass; it reached {reached:.0f}, "
                f"{row['mean_acceptance_length']:.2f} a pass"
            )
        reference = by_label.get(row["best_reference"])
        if reference and reference["speedup_transformers"] and row["speedup_ar"]:
            yield (
                "each over plain decoding through the same pass: exact-dynamic "
                f"{row['speedup_ar']:.2f} ×, {reference['decoder']} "
                f"{reference['speedup_transformers']:.2f} ×"
            )
    mcsd, dynamic = by_label.get("mcsd"), by_label.get("target-init-dynamic")
    if mcsd and dynamic and mcsd["acceptance_rate"]:
        ratio = dynamic["acceptance_rate"] / mcsd["acceptance_rate"]
        fidelity = (
            f"token match {dynamic['token_match']:.2%}"
            if dynamic["token_match"] is not None
            else f"distance {_number(dynamic['tv_distance'], '.3f')}, "
            f"p {_number(dynamic['distribution_p'], '.2g')}"
        )
        yield (
            f"target-init-dynamic over mcsd: acceptance {ratio:.2f} × (paper "
            f"{PAPER['acceptance']}), speed {_between(dynamic, 'speedup_mcsd', '.2f')} × (paper "
            f"{PAPER['speed']}); not lossless: {fidelity}"
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
