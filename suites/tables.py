"""From the files of a run directory to the tables that metrics and reports read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ..metrics.trace import Trace
from .rundir import GENERATIONS, STEPS, read_table


def trace_of(path: Path, timings: list[dict[str, Any]]) -> Trace:
    """The recorded lives of a run directory; `timings` are the lives of timings.json."""
    rows = [
        {"task": life["task"], "seed": life["seed"], "user": life["user"], "seconds": seconds}
        for life in timings
        if life["policy"] == "agent"
        for seconds in life["decisions"]
    ]
    return Trace(
        steps=read_table(path / "steps.parquet", STEPS).to_pandas(),
        generations=read_table(path / "generations.parquet", GENERATIONS).to_pandas(),
        decisions=pd.DataFrame(rows, columns=["task", "seed", "user", "seconds"]),
    )
