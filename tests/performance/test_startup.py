"""How long a newcomer waits for an answer, beside what the libraries alone take to be imported."""

import subprocess
import sys
from time import perf_counter

import pytest

ROUNDS = 7
MORE = 2.0
"""Times the libraries' own start, at most; half a second where those take a quarter of one."""

STARTS = {
    "import tasteshift": (["-c", "import tasteshift"], "import gymnasium"),
    "tasteshift --help": (["-m", "tasteshift", "--help"], "import gymnasium, typer.rich_utils"),
}


@pytest.mark.parametrize("name", STARTS)
def test_startup(benchmark, name, tmp_path):
    arguments, libraries = STARTS[name]
    seconds = {"ours": [], "libraries": []}

    def start(who, *arguments):
        started = perf_counter()
        command = [sys.executable, "-P", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=tmp_path)
        seconds[who].append(perf_counter() - started)

    def in_turns():
        start("libraries", "-c", libraries)
        start("ours", *arguments)

    benchmark.pedantic(in_turns, rounds=ROUNDS, warmup_rounds=1)
    quickest = {who: min(those[1:]) for who, those in seconds.items()}
    benchmark.extra_info.update(quickest)
    assert quickest["ours"] < MORE * quickest["libraries"]
