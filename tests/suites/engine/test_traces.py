"""What is read a task at a time is what was recorded, and nothing of another task."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasteshift.errors import InputError
from tasteshift.metrics.scoring import score, score_task
from tasteshift.suites.engine.run_directory import writer
from tasteshift.suites.engine.run_directory.reader import read_episodes
from tasteshift.suites.engine.run_directory.schema import STEPS
from tasteshift.suites.engine.run_directory.timings import read_timings
from tasteshift.suites.engine.traces import read_trace, step_batches, trace_reader
from tasteshift.suites.evaluate import evaluate

TASKS = ("smoke/stationary", "smoke/abrupt-shift")
TABLES = ("steps", "generations", "decisions", "episodes")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return evaluate("popular", "smoke", out=tmp_path_factory.mktemp("runs") / "popular").out


@pytest.fixture(scope="module")
def timings(run):
    return read_timings(run)["episodes"]


@pytest.mark.parametrize("task", TASKS)
def test_a_task_alone_is_the_same_as_in_the_whole(run, timings, task):
    alone, whole = trace_reader(run, timings)(task), read_trace(run, timings).of_task(task)
    assert alone.cluster_by == whole.cluster_by == "user"
    for name in TABLES:
        one, other = getattr(alone, name), getattr(whole, name).reset_index(drop=True)
        pd.testing.assert_frame_equal(one.reset_index(drop=True), other, check_dtype=len(one) > 0)
    assert len(alone.decisions) == len(alone.steps_of("agent")) > 0
    both = [score_task(alone, task, timed=timed) for timed in (False, True)]
    assert both == [score(read_trace(run, timings), [task], timed=c) for c in (False, True)]


def test_row_groups_may_hold_several_tasks(run, timings, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "ROWS_PER_GROUP", 5)
    assert pq.ParquetFile(run / "steps.parquet").num_row_groups == 1
    again = evaluate("popular", "smoke", out=tmp_path / "again").out
    assert pq.ParquetFile(again / "steps.parquet").num_row_groups > 4
    for task in TASKS:
        one, other = (trace_reader(path, timings)(task).steps for path in (run, again))
        pd.testing.assert_frame_equal(one, other)


def test_episodes_are_those_of_the_file(run, timings):
    episodes = read_trace(run, timings).episodes
    assert len(episodes) == len(read_episodes(run))
    assert set(episodes["task"]) == set(TASKS)


def test_the_first_token_of_a_decision_is_that_of_its_first_text(run):
    key = {"task": TASKS[0], "seed": 0, "user": 3}
    said = [
        {"turn": 1, "seconds": 1.0, "first_token_seconds": 0.25, "rounds": []},
        {"turn": 1, "seconds": 1.0, "first_token_seconds": 0.75, "rounds": []},
    ]
    clock = {"decisions": [0.1, 2.0, 0.2], "memory": [7, 8, 9], "generations": said}
    written = [{**key, "policy": "agent", **clock}, {**key, "policy": "oracle", **clock}]
    decisions = trace_reader(run, written)(TASKS[0]).decisions
    assert decisions["first_token_seconds"].tolist() == [0.0, 0.25, 0.0]
    assert decisions["seconds"].tolist() == [0.1, 2.0, 0.2]
    assert decisions["peak_memory"].tolist() == [7, 8, 9]
    assert decisions["user"].tolist() == [3, 3, 3]
    assert len(trace_reader(run, written)(TASKS[1]).decisions) == 0


def test_lists_come_back_as_arrays_of_their_type(run, timings, tmp_path):
    steps = read_trace(run, timings).steps
    rows = pq.read_table(run / "steps.parquet").to_pylist()
    rows.sort(key=lambda row: (row["seed"], row["user"]))
    for name, kind in (("slate", "int64"), ("liking", "float64"), ("profile", "float64")):
        assert [value.tolist() for value in steps[name]] == [row[name] for row in rows]
        assert {value.dtype.name for value in steps[name]} == {kind}
    claim = {"item": 3, "field": "price", "value": "2.5"}
    table = pq.read_table(run / "steps.parquet").to_pylist()
    table.sort(key=lambda row: (row["seed"], row["user"]))
    table[0]["claims"], table[1]["slate"] = [claim], []
    for name in ("manifest.json", "episodes.jsonl", "generations.parquet"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    pq.write_table(pa.Table.from_pylist(table, STEPS), tmp_path / "steps.parquet")
    changed = read_trace(tmp_path, timings).steps
    assert [list(claims) for claims in changed["claims"][:2]] == [[claim], []]
    assert np.concatenate(changed["slate"].tolist()).dtype == np.int64


def test_batches_count_what_was_shown(run, timings):
    found = pd.concat(step_batches(run, ["task", "user", "slate", "reward"]))
    found = found.sort_values("user", kind="stable")
    steps = read_trace(run, timings).steps
    assert found["slate"].tolist() == steps["shown"].tolist()
    assert found["reward"].tolist() == steps["reward"].tolist()


@pytest.mark.parametrize(("damage", "why"), [
    (lambda path: path.unlink(), "is missing"),
    (lambda path: path.write_bytes(path.read_bytes()[:-9]), "truncated"),
    (lambda path: path.write_bytes(b""), "truncated"),
    (lambda path: pq.write_table(pq.read_table(path).drop(["reward"]), path), "columns of this"),
])  # fmt: skip
def test_a_file_that_is_not_whole_is_one_clear_line(tmp_path, damage, why):
    out = evaluate("popular", "smoke", out=tmp_path / "run").out
    damage(out / "steps.parquet")
    for read in (
        lambda: read_trace(out, []),
        lambda: trace_reader(out, [])(TASKS[0]),
        lambda: list(step_batches(out, ["reward"])),
    ):
        with pytest.raises(InputError, match=why) as caught:
            read()
        assert "steps.parquet" in str(caught.value)
        assert "\n" not in str(caught.value)
