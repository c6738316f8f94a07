"""Kill −9 at random instants, resume, and compare with the bytes of an undisturbed run."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

KILLS = int(os.environ.get("TASTESHIFT_KILLS", "2"))
FILES = ("scores.json", "episodes.jsonl", "steps.parquet", "generations.parquet")
SUITE = """
name: short
version: 1
summary: a run of a few seconds
tasks:
  - {name: turn, catalog: "synthetic:200", scenario: abrupt-shift, users: 5,
     counterfactual: [shift]}
  - {name: drift, catalog: "synthetic:200", scenario: gradual-drift, users: 5}
"""


def start(suite, out, *options):
    command = [sys.executable, "-P", "-m", "tasteshift", "run", str(suite), "--agent", "linucb"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([*command, "--out", str(out), *options], text=True, **quiet)


def finish(process):
    _, said = process.communicate()
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The suite's file, its bytes, and the seconds from the first episode to the end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    suite = folder / "short.yaml"
    suite.write_text(SUITE)
    process = start(suite, folder / "run")
    while not (folder / "run" / "parts").exists():
        assert process.poll() is None
        time.sleep(0.01)
    begun = time.monotonic()
    finish(process)
    seconds = time.monotonic() - begun
    return suite, {name: (folder / "run" / name).read_bytes() for name in FILES}, seconds


@pytest.mark.parametrize("kill", range(KILLS))
def test_a_killed_run_resumes_to_the_same_bytes(undisturbed, tmp_path, kill):
    suite, expected, seconds = undisturbed
    workers = ("--workers", str(1 + kill % 2))
    instant = seconds * np.random.Generator(np.random.Philox(kill)).uniform()
    process = start(suite, tmp_path / "run", *workers)
    while not (tmp_path / "run" / "parts").exists():
        assert process.poll() is None
        time.sleep(0.001)
    time.sleep(instant)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finish(start(suite, tmp_path / "run", *workers, "--resume"))
    found = {name: (tmp_path / "run" / name).read_bytes() for name in FILES}
    assert [name for name in FILES if found[name] != expected[name]] == []
    assert not (tmp_path / "run" / "parts").exists()
