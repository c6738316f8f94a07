"""Cost of statistics: scoring a million recorded steps, and a bootstrap of many clusters."""

import json
import subprocess
import sys
import time
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasteshift.metrics.statistics import RESAMPLES, ratio_interval
from tasteshift.records import Identity, Manifest
from tasteshift.suites.engine.run_directory.schema import GENERATIONS, STEPS
from tasteshift.suites.engine.run_directory.writer import ROWS_PER_GROUP
from tasteshift.suites.serialization import sha256

POLICIES = ("agent", "agent-counterfactual", "frozen-oracle", "oracle", "random")
EVENTS = (0, 1, 3, 10, 40)
TURNS, SESSIONS = 50, 10
PART = 10
"""The plain bootstrap draws one in so many resamples; its time is multiplied."""

READ_AND_SCORE = """
import json, sys, time
from pathlib import Path
from tasteshift.metrics.scoring import score_task
from tasteshift.suites.engine.run_directory.timings import read_timings
from tasteshift.suites.engine.traces import trace_reader
path, start, found = Path(sys.argv[1]), time.perf_counter(), []
traces = trace_reader(path, read_timings(path)["episodes"])
for task in sys.argv[2:]:
    trace = traces(task)
    for timed in (False, True):
        found += score_task(trace, task, timed=timed)
spent = time.perf_counter() - start
from tasteshift.suites.engine.in_process_agent import peak_memory
metrics = sorted({one.metric for one in found})
print(json.dumps({"seconds": spent, "gigabytes": peak_memory() / 1e9, "metrics": metrics}))
"""


def record(out, count, tasks):
    """Write a finished run of episodes of 50 turns whose agents adapt to a change of taste."""
    rng = np.random.default_rng(0)
    users = count // len(POLICIES) // len(tasks)
    episodes, timings = [], []
    with pq.ParquetWriter(out / "steps.parquet", STEPS) as writer:
        for task in tasks:
            for seed in range(users // 500 or 1):
                owners = np.arange(seed * 500, min(users, seed * 500 + 500))
                for table in _steps(rng, task, seed, owners):
                    writer.write_table(table, row_group_size=ROWS_PER_GROUP)
                for user in owners.tolist():
                    for policy in POLICIES:
                        key = {"task": task, "seed": seed, "user": user, "policy": policy}
                        angles = {"angle": user % 30, "angle_later": user % 20, "churned": False}
                        more = {"age_group": "adult", "events": EVENTS[user % 5], **angles}
                        rewards = [0.5] * TURNS
                        episodes.append(json.dumps(key | more | {"rewards": rewards, "digest": ""}))
                        clock = {"decisions": [0.001] * TURNS, "memory": [10**8] * TURNS}
                        timings.append({**key, **clock, "generations": [], "error": ""})
    pq.write_table(GENERATIONS.empty_table(), out / "generations.parquet")
    (out / "episodes.jsonl").write_text("\n".join(episodes) + "\n")
    (out / "timings.json").write_text(json.dumps({"scores": [], "episodes": timings}))
    nothing = {"agent_config": {}, "decoder": "", "pair": "", "pair_hash": "", "catalogs": {}}
    identity = Identity("made@1", "", "1", "made", seeds=(0,), **nothing)
    manifest = Manifest(2, identity, sha256(asdict(identity)), {}, {})
    (out / "manifest.json").write_text(json.dumps(asdict(manifest)))


def _steps(rng, task, seed, users):
    turns = np.arange(TURNS)
    for policy in POLICIES:
        n = len(users) * TURNS
        session = np.tile(turns // (TURNS // SESSIONS), len(users))
        begins = np.tile(turns % (TURNS // SESSIONS) == 0, len(users))
        changed = session >= SESSIONS // 2
        level = {
            "random": 0.2,
            "agent": 0.5,
            "agent-counterfactual": 0.5,
            "frozen-oracle": 0.7,
            "oracle": 0.8,
        }
        lost = changed * 0.2 * (policy in ("agent", "frozen-oracle"))
        expected = np.clip(level[policy] - lost + rng.normal(0, 0.1, n), 0, 1)
        columns = {
            "task": np.repeat(task, n), "seed": np.full(n, seed), "user": np.repeat(users, TURNS),
            "policy": np.repeat(policy, n), "session": session,
            "age_group": np.repeat(["child", "adult"] * n, TURNS)[:n],
            "turn": np.tile(turns % (TURNS // SESSIONS), len(users)),
            "day": 7 * session, "utterance": [f"Something for day {k % 977}" for k in range(n)],
            "slate": _lists(rng.integers(1000, size=(n, 5))), "chosen": rng.integers(-1, 1000, n),
            "reward": np.clip(expected + rng.normal(0, 0.2, n), 0, 1), "fault": np.repeat("", n),
            "claims": pa.array([[]] * n, STEPS.field("claims").type),
            "profile": _lists(rng.random((n, 18)), begins), "expected": expected,
            "best": np.maximum(expected, 0.8), "under_first": expected, "under_last": expected,
            "under_organic": expected, "breaches": rng.integers(3, size=n),
            "violations": rng.integers(2, size=n), "stale": changed * rng.integers(2, size=n),
            "fresh": rng.integers(2, size=n), "fresh_chosen": rng.random(n) < 0.1,
            "tampered": rng.integers(2, size=n), "sponsored": rng.integers(2, size=n),
            "disclosed": np.zeros(n, int), "false_claims": np.zeros(n, int),
            "regime": changed * (policy != "agent-counterfactual"), "gift": np.zeros(n, bool),
            "topics": _lists(rng.integers(18, size=(n, 5))),
            "liking": _lists(rng.random((n, 18)), begins),
        }  # fmt: skip
        yield pa.table([pa.array(columns[f.name], f.type) for f in STEPS], STEPS)


def _lists(values, kept=None):
    """An Arrow list per row; empty where a row is not kept."""
    sizes = np.full(len(values), values.shape[1]) * (1 if kept is None else kept)
    flat = values.ravel() if kept is None else values[kept].ravel()
    return pa.ListArray.from_arrays(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32), flat)


@pytest.mark.parametrize(
    "tasks", [["made/one"], ["made/one", "made/two", "made/three", "made/four"]]
)
def test_scoring_a_million_steps(benchmark, tmp_path, tasks):
    """Promised: a million steps are read and scored by all metrics within a minute and 2 GB."""
    record(tmp_path, 20_000, tasks)
    command = [sys.executable, "-P", "-c", READ_AND_SCORE, str(tmp_path), *tasks]

    def scored():
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    found = benchmark.pedantic(scored, rounds=1)
    benchmark.extra_info.update(found)
    assert len(found["metrics"]) > 20
    assert found["seconds"] < 60
    assert found["gigabytes"] < 2


def test_bootstrap_of_a_hundred_thousand_clusters(benchmark):
    """Faster than drawing every resample as indices: the best of a few, interleaved."""
    rng = np.random.default_rng(0)
    bottom = rng.uniform(1, 2, 100_000)
    top = bottom * rng.normal(0.4, 0.1, 100_000)
    seconds = {"ours": [], "indices": []}

    def by_indices():
        drawn = rng.integers(len(top), size=len(top))
        return top[drawn].sum() / bottom[drawn].sum()

    def interleaved():
        for name, work in {
            "ours": lambda: ratio_interval(top, bottom),
            "indices": lambda: [by_indices() for _ in range(RESAMPLES // PART)],
        }.items():
            start = time.process_time()
            work()
            seconds[name].append(time.process_time() - start)

    benchmark.pedantic(interleaved, rounds=5)
    ours, indices = (min(times) for times in seconds.values())
    benchmark.extra_info.update(ours=ours, indices=PART * indices)
    assert ours < PART * indices
    found = ratio_interval(top, bottom)
    assert found.low < 0.4 < found.high
