"""Files that would exhaust memory or that are ambiguous are refused in one line."""

import json
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasteshift.errors import InputError
from tasteshift.leaderboard.rejection import VerificationError, one_line
from tasteshift.leaderboard.verification import parquet_pages as bounds
from tasteshift.leaderboard.verification import recorded_table as reader
from tasteshift.leaderboard.verification.recorded_table import RecordedTable
from tasteshift.leaderboard.verification.strict_json import check_json
from tasteshift.leaderboard.verification.verify import verify
from tasteshift.suites.engine.run_directory.schema import STEPS

SMALL = pa.schema([("task", pa.string()), ("text", pa.string()), ("list", pa.list_(pa.int64()))])


def small(count: int, text: str = "x", values: int = 1) -> pa.Table:
    """A table of identical rows: tiny on disk, however many there are."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * values)
    lists = pa.ListArray.from_arrays(offsets, pa.array(np.zeros(count * values, np.int64)))
    names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array(["a/b"]))
    return pa.table({"task": names, "text": texts, "list": lists}).cast(SMALL)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(table: pa.Table, **options: Any) -> Path:
        pq.write_table(table, tmp_path / "some.parquet", **options)
        return tmp_path / "some.parquet"

    return write


def test_rows_are_read_one_task_at_a_time(written: Callable[..., Path]) -> None:
    tasks = ["b", "a", "b", "c", "a"] * 700
    table = pa.table(
        {
            "task": tasks,
            "text": [f"{k}" for k in range(3500)],
            "list": [[k] * (k % 3) for k in range(3500)],
        }
    ).cast(SMALL)
    rows = RecordedTable(written(table, row_group_size=900), SMALL)
    assert rows.tasks == {"b": 1400, "a": 1400, "c": 700}
    for task in "abc":
        expected = [row for row in table.to_pylist() if row["task"] == task]
        assert rows.of(task).to_pylist() == expected
    assert rows.of("d").to_pylist() == []


def test_false_statistics_hide_no_rows(runs: Callable[[str], Path], tmp_path: Path) -> None:
    """A row group whose statistics name other tasks only is read all the same."""
    table = pq.read_table(runs("popular") / "steps.parquet")
    file = tmp_path / "steps.parquet"
    pq.write_table(table, file)
    original = RecordedTable(file, STEPS).of("board-test/first")
    content = file.read_bytes()
    for name in (b"board-test/first", b"board-test/shift"):
        content = content[: -len(content) // 3] + content[-len(content) // 3 :].replace(
            name, b"zzzzz-zzzz/zzzzz"
        )
    file.write_bytes(content)
    statistics = pq.read_metadata(file).row_group(0).column(0).statistics
    assert (statistics.min, statistics.max) == ("zzzzz-zzzz/zzzzz",) * 2
    assert RecordedTable(file, STEPS).of("board-test/first").equals(original)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((bounds.MAX_ROWS + 1,), {}, "rows; 16,777,216 are allowed"),
        ((9, "x", 2_000_000), {}, "a row group that exceeds the allowed size"),
        ((2000, "x" * 70_000), {}, "a text of 70,000 bytes in column text"),
        ((9,), {"compression": "zstd"}, "uses a compression other than Snappy"),
        ((9,), {"compression": "gzip"}, "uses a compression other than Snappy"),
    ],
    ids=["rows", "values", "text", "zstd", "gzip"],
)
def test_a_small_file_with_huge_content_is_refused(
    written: Callable[..., Path], shape: Any, options: dict[str, Any], message: str
) -> None:
    file = written(small(*shape), row_group_size=2**20, **options)
    assert file.stat().st_size < 3_000_000
    before = pa.total_allocated_bytes()
    with pytest.raises(VerificationError, match=message):
        RecordedTable(file, SMALL).of("a/b")
    assert pa.total_allocated_bytes() - before < 2**26


def test_a_task_too_large_for_memory_is_refused(
    written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = RecordedTable(written(small(20_000, "x" * 500)), SMALL)
    monkeypatch.setattr(reader, "MAX_TASK_BYTES", 2**20)
    with pytest.raises(VerificationError, match="more than 1 MiB of a/b"):
        rows.of("a/b")


def test_another_schema_is_refused(written: Callable[..., Path]) -> None:
    with pytest.raises(VerificationError, match="does not have the columns"):
        RecordedTable(written(small(3)), STEPS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "key 'c' occurs twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": [-Infinity]}', "-Infinity is not JSON"),
        ('{"a": 1e999}', "1e999 is not a number that can be stored"),
        (f'{{"a": {"9" * 5000}}}', "a number has 5000 digits"),
        (f'{{"a": 0.{"9" * 5000}}}', "is not a number that can be stored"),
        ("[" * 100_000, "some.json cannot be read"),
        ('{"a":' * 100_000, "some.json cannot be read"),
        ('{"a": "\\u0000"}', "holds the character 0"),
        ('{"a": 1} {"a": 2}', "Extra data"),
        ("", "Expecting value"),
    ],
)
def test_ambiguous_json_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "some.json"
    file.write_text(text)
    with pytest.raises(VerificationError) as caught:
        check_json(file)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600


def test_invalid_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "some.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(VerificationError, match="is not UTF-8"):
        check_json(tmp_path / "some.json")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("manifest.json", '"agent": "popular"', '"agent": "\\ud800"'),
        ("manifest.json", '"agent": "popular"', '"agent": "me", "agent": "popular"'),
        ("manifest.json", '"agent_config": {', '"agent_config": {"x": NaN, '),
        ("manifest.json", '"agent_config": {', '"agent_config": {"x": 1' + "0" * 5000 + ", "),
        ("manifest.json", '"provenance": {', '"provenance": {"x": "\\u0000", '),
        ("episodes.jsonl", '"user":', '"user":0,"user":'),
        ("episodes.jsonl", '"seed":0', '"seed":1e999'),
        ("scores.json", '"value": ', '"value": 7, "value": '),
        ("timings.json", '"error":""', '"error":"\\udfff"'),
        ("timings.json", '"episodes":[', '"episodes":[' + "[" * 50_000),
    ],
)
def test_an_ambiguous_file_of_a_run_is_named(tampered: Any, name: str, old: str, new: str) -> None:
    file = tampered.path / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    verdict = verify(tampered.path)
    assert not verdict.accepted
    assert verdict.reason.startswith(name)
    assert verdict.reason.isprintable()


@pytest.mark.parametrize(
    "name", ["", "a" * 101, "two words", "<b>bold</b>", "..", "line\nbreak", "\u202eright"]
)
def test_an_unprintable_or_long_name_is_refused(tampered: Any, name: str) -> None:
    tampered.edit_identity(rehash=True, agent=name)
    verdict = verify(tampered.path)
    assert verdict.reason.startswith("manifest.json: agent '")
    assert verdict.reason.isprintable()


def test_a_huge_number_of_seeds_is_refused_cheaply(tampered: Any) -> None:
    tracemalloc.start()
    for suite in ("board-test@1+seeds=999999", "board-test@1+seeds=2"):
        tampered.edit_identity(rehash=True, suite=suite)
        assert verify(tampered.path).reason == f"manifest.json: 1 seeds are not those of {suite}"
    assert tracemalloc.get_traced_memory()[1] < 5e7
    tracemalloc.stop()


def test_more_users_than_the_catalog_has_are_refused(tampered: Any) -> None:
    suite = "board-test@1+users=999999"
    tampered.edit_identity(rehash=True, suite=suite)
    assert verify(tampered.path).reason.startswith("manifest.json: suite_hash is not that of")


def test_untrusted_text_becomes_one_line() -> None:
    assert one_line("a\nb\tc\x1b[2J \u202e") == "a b c\\x1b[2J \\u202e"
    assert len(one_line("x" * 10_000)) == 500


def test_a_task_name_with_control_characters_is_reported_in_one_line(tampered: Any) -> None:
    rows = tampered.table("steps")
    rows[5]["task"] = "board-test/first\n\x1b[2Jaccepted"
    tampered.write_table("steps", rows)
    verdict = verify(tampered.path)
    assert not verdict.accepted
    assert verdict.reason.isprintable()
    assert json.dumps(verdict.row())


def zigzag(number: int) -> bytes:
    """A number as the footer of a parquet file encodes it."""
    left, found = number << 1, b""
    while left > 0x7F:
        found, left = found + bytes([left & 0x7F | 0x80]), left >> 7
    return found + bytes([left])


@pytest.mark.parametrize("claimed", [0, 9, 2**20])
def test_a_page_larger_than_the_metadata_claims_is_refused(
    written: Callable[..., Path], claimed: int
) -> None:
    """A few hundred bytes that any reader expands to two million numbers."""
    true = 2_000_000
    content = written(small(10, values=true // 10), data_page_size=2**30).read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    old, new = zigzag(true), zigzag(claimed)
    padded = new[:-1] + bytes([new[-1] | 0x80]) + b"\x80" * (len(old) - len(new) - 1) + b"\x00"
    assert content[start:].count(old) == 2
    forged = content[start:].replace(old, padded if len(new) < len(old) else new)
    (file := written(small(1))).write_bytes(content[:start] + forged)
    assert file.stat().st_size < 3_000
    assert pq.read_metadata(file).row_group(0).column(2).num_values == claimed
    before = pa.total_allocated_bytes()
    with pytest.raises((VerificationError, InputError)) as caught:
        RecordedTable(file, SMALL).of("a/b")
    assert not claimed or "pages that contradict its metadata" in str(caught.value)
    assert pa.total_allocated_bytes() - before < 2**20


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(data=st.data())
def test_a_damaged_table_is_refused_or_read(
    written: Callable[..., Path], data: st.DataObject
) -> None:
    table = pa.table(
        {
            "task": ["a/b", "a/c"] * 50,
            "text": [f"{k % 7}" for k in range(100)],
            "list": [[k] * (k % 3) for k in range(100)],
        }
    ).cast(SMALL)
    file = written(table)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4), label="edits")):
        at = data.draw(st.integers(0, len(content) - 1), label="at")
        content[at] = data.draw(st.integers(0, 255), label="byte")
    file.write_bytes(content)
    before = pa.total_allocated_bytes()
    with suppress(VerificationError, InputError):
        rows = RecordedTable(file, SMALL)
        for task in rows.tasks:
            assert rows.of(task).schema == SMALL
    assert pa.total_allocated_bytes() - before < 2**26


def test_counts_whose_sums_would_overflow_are_refused(text_run: Callable[..., Path]) -> None:
    run = text_run()
    table = pq.read_table(run / "generations.parquet")
    deep = pa.array([2**62] * len(table), pa.int64())
    column = table.column_names.index("max_depth")
    pq.write_table(table.set_column(column, "max_depth", deep), run / "generations.parquet")
    verdict = verify(run)
    assert not verdict.accepted
    assert "max_depth" in verdict.reason
    assert "more than any decoder writes" in verdict.reason


def test_a_repeated_key_is_found_in_linear_time(tmp_path: Path) -> None:
    """A quadratic comparison would take an hour."""
    names = [f'"k{number}":0' for number in range(400_000)]
    (tmp_path / "scores.json").write_text("{" + ",".join([*names, names[-1]]) + "}")
    with pytest.raises(VerificationError, match="'k399999' occurs twice"):
        check_json(tmp_path / "scores.json")
