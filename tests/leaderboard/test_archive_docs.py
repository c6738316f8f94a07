"""The documented schema of an archive is its schema."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasteshift.leaderboard.archive import MAX_ARCHIVE_BYTES, MEMBERS, MIB
from tasteshift.leaderboard.verification import parquet_pages as bounds
from tasteshift.leaderboard.verification import recorded_table as reader
from tasteshift.leaderboard.verification.strict_json import MAX_NUMBER_LENGTH
from tasteshift.records import ROUND_COLUMNS, STEP_COLUMNS, Episode, Identity, Manifest, Score
from tasteshift.suites.engine.run_directory.schema import GENERATIONS, STEPS
from tasteshift.suites.engine.run_directory.timings import (
    EpisodeTimings,
    GenerationTimings,
    Timings,
)

PAGE = Path(__file__).resolve().parents[2].joinpath("docs", "archive.md").read_text("utf-8")


def table(heading: str) -> list[list[str]]:
    """The first table below a heading or a line: its rows as cells."""
    below = PAGE.split(heading, 1)[1]
    lines = re.search(r"(?m)^\|---.*\n((?:\|.*\n)+)", below)
    assert lines
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in lines[1].splitlines()]


def named(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        inner = kind.value_type
        return f"list of {'struct' if pa.types.is_struct(inner) else inner}"
    return str(kind)


@pytest.mark.parametrize(
    ("heading", "schema", "columns"),
    [
        ("### steps.parquet", STEPS, STEP_COLUMNS),
        ("### generations.parquet", GENERATIONS, ROUND_COLUMNS),
    ],
)
def test_documented_columns_are_the_columns(
    heading: str, schema: pa.Schema, columns: dict[str, Any]
) -> None:
    found = [(name.strip("`"), kind, meaning) for name, kind, meaning in table(heading)]
    assert found == [
        (field.name, named(field.type), columns[field.name].__metadata__[0]) for field in schema
    ]


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("### manifest.json", Manifest),
        ("`identity`:", Identity),
        ("### episodes.jsonl", Episode),
        ("### scores.json", Score),
        ("and `episodes`, one for every episode:", EpisodeTimings),
    ],
)
def test_documented_fields_are_the_fields(heading: str, kind: type) -> None:
    assert [row[0].strip("`") for row in table(heading)] == [field.name for field in fields(kind)]


def test_documented_members_and_bounds_are_those_that_are_enforced() -> None:
    found = {name.strip("`"): int(size) * MIB for name, size, _ in table("## The container")}
    assert list(found.items()) == list(MEMBERS.items())
    assert f"At most {MAX_ARCHIVE_BYTES // MIB} MiB." in PAGE
    assert f"more than {MAX_NUMBER_LENGTH} characters" in PAGE
    assert (*(2**24, 2**20, 2**24),) == (
        bounds.MAX_ROWS,
        bounds.MAX_GROUP_ROWS,
        bounds.MAX_GROUP_VALUES,
    )
    assert "2²⁴ rows; in a row group 2²⁰ rows, 2²⁴ values a column and 512 MiB" in PAGE
    assert bounds.MAX_GROUP_BYTES == 512 * MIB
    assert f"longer than {reader.MAX_TEXT_BYTES:,} bytes" in PAGE
    assert reader.MAX_TASK_BYTES == 2**31


def test_what_is_nested_is_named_too() -> None:
    for kind in (GenerationTimings, Timings):
        for field in fields(kind):
            assert f"`{field.name}`" in PAGE
    for part in STEPS.field("claims").type.value_type:
        assert f"`{part.name}` {part.type}" in PAGE
