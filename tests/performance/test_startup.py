"""Start-up time, beside the time that importing the libraries alone takes."""

import subprocess
import sys
from time import perf_counter

import pytest

ROUNDS = 7
MAX_RATIO = 2.0
"""At most so many times the libraries' own start: half a second where that is a quarter."""

STARTS = {
    "import tasteshift": (["-c", "import tasteshift"], "import gymnasium"),
    "tasteshift --help": (["-m", "tasteshift", "--help"], "import gymnasium, typer.rich_utils"),
}


@pytest.mark.parametrize("name", STARTS)
def test_startup(benchmark, name, tmp_path):
    arguments, libraries = STARTS[name]
    seconds = {"ours": [], "libraries": []}

    def start(kind, *arguments):
        started = perf_counter()
        command = [sys.executable, "-P", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=tmp_path)
        seconds[kind].append(perf_counter() - started)

    def interleaved():
        start("libraries", "-c", libraries)
        start("ours", *arguments)

    benchmark.pedantic(interleaved, rounds=ROUNDS, warmup_rounds=1)
    fastest = {kind: min(times[1:]) for kind, times in seconds.items()}
    benchmark.extra_info.update(fastest)
    assert fastest["ours"] < MAX_RATIO * fastest["libraries"]
