"""Lives side by side are the lives of one process."""

import pytest

from tasteshift.suites.evaluate import evaluate


@pytest.mark.parametrize("agent", ["random", "linucb"])
def test_workers_leave_no_mark_on_the_bytes(tmp_path, agent):
    for workers in (1, 2):
        evaluate(agent, "smoke", users=3, workers=workers, out=tmp_path / str(workers))
    for name in ("episodes.jsonl", "scores.json", "steps.parquet", "generations.parquet"):
        one, two = ((tmp_path / workers / name).read_bytes() for workers in "12")
        assert one == two, name
