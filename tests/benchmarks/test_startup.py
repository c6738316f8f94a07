"""How long a newcomer waits for an answer: the quickest of a few starts stays under 0.5 s."""

import subprocess
import sys

import pytest

LONGEST = 0.5


@pytest.mark.parametrize("arguments", [["-c", "import tasteshift"], ["-m", "tasteshift", "--help"]])
def test_startup(benchmark, arguments, tmp_path):
    def start():
        command = [sys.executable, "-P", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=tmp_path)

    benchmark.pedantic(start, rounds=5, warmup_rounds=1)
    assert benchmark.stats.stats.min < LONGEST
