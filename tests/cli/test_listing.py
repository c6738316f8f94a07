"""`tasteshift list` and the documented metric index agree with the code."""

import re
from pathlib import Path

import pytest

from tasteshift.cli.listing import listing
from tasteshift.metrics import METRICS
from tasteshift.suites.suite import SUITES

INDEX = Path(__file__).resolve().parents[2] / "docs" / "metrics" / "README.md"
LINE = r"\| \[(\w+)\]\((\w+)\.md\) \| (.*) \| (higher|lower|–) \| (.*) \|"


@pytest.mark.parametrize("kind", ["suites", "tasks", "agents", "scenarios", "metrics"])
def test_rows_of_one_kind_have_one_shape(kind):
    rows = listing(kind)
    assert len({tuple(row) for row in rows}) == 1
    assert len({row["name"] for row in rows}) == len(rows)


def test_listed_tasks_are_those_of_the_suites():
    rows = {row["name"]: row for row in listing("tasks")}
    assert list(rows) == [task.name for name in SUITES for task in SUITES.get(name).tasks]
    assert rows["quick/abrupt-shift"]["more policies"] == "the agent without shift"
    assert rows["lifelong/satiation"]["more policies"] == "oracle-plan"
    assert rows["quick/first-session"]["agents"] == "all"
    (quick,) = listing("suites", "quick@2")
    assert (quick["tasks"], quick["episodes"]) == (5, 144)
    assert all(row["version"] >= 1 for row in listing("metrics"))


def test_the_metric_index_agrees_with_the_metrics():
    documented = {row[0]: row[1:] for row in re.findall(LINE, INDEX.read_text(encoding="utf-8"))}
    assert list(documented) == METRICS.names()
    for name, (page, unit, better, summary) in documented.items():
        metric = METRICS.get(name)
        assert page in (name, re.sub(r"_\d+$", "", name))
        assert (unit, summary) == (metric.unit, metric.summary)
        assert better == {"higher": "higher", "lower": "lower", "none": "–"}[metric.direction]
