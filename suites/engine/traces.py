"""From the files of a run directory to the tables that metrics and reports read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...errors import InputError
from ...metrics.trace import DECISIONS, EPISODES, ClusterBy, Trace
from ...records import Manifest
from .run_directory import (
    GENERATIONS,
    STEPS,
    check_columns,
    read_episodes,
    read_manifest,
    read_table,
    reading,
)

Lives = Sequence[dict[str, Any]]
"""The lives of timings.json: task, seed, user, policy and, for each decision, its `seconds` and
the `memory` held; `generations` tells of each text the decision (`turn`) it was written for."""


def trace_of(path: Path, timings: Lives) -> Trace:
    """All recorded lives of a run directory; raises InputError where a file is not whole."""
    return _trace(path, None, timings, _episodes(path), cluster_by(read_manifest(path)))


def traces_of(path: Path, timings: Lives) -> Callable[[str], Trace]:
    """A function from the name of a task to its trace, which reads that task's rows only.

    The steps of a long run may not fit into memory, those of its longest task do. Raises
    InputError, now or when called, where a file is not whole.
    """
    episodes, unit = _episodes(path), cluster_by(read_manifest(path))

    def trace(task: str) -> Trace:
        lives = [life for life in timings if life["task"] == task]
        return _trace(path, task, lives, episodes[episodes["task"] == task], unit)

    return trace


def batches(path: Path, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Some columns of all steps of a run directory, a bounded number of rows at a time.

    The column `slate` holds how many items were shown. Raises InputError.
    """
    file = path / "steps.parquet"
    with reading(file), pq.ParquetFile(file) as table:
        check_columns(file, table.schema_arrow, STEPS)
        for batch in table.iter_batches(batch_size=2**16, columns=list(columns)):
            rows = pa.table(batch)
            if "slate" in columns:
                place = rows.column_names.index("slate")
                shown = pc.list_value_length(rows["slate"])
                rows = rows.set_column(place, "slate", shown)
            yield rows.to_pandas()


def cluster_by(manifest: Manifest) -> ClusterBy:
    """What was sampled independently: users, or the seeds' cohorts on the cohort track."""
    return "seed" if manifest.suite.get("track") == "cohort" else "user"


def _trace(
    path: Path, task: str | None, timings: Lives, episodes: pd.DataFrame, cluster: ClusterBy
) -> Trace:
    generations = _table(path / "generations.parquet", GENERATIONS, task)
    steps = _table(path / "steps.parquet", STEPS, task)
    if len(steps) != episodes["turns"].sum():
        what = f"{len(steps)} turns{f' of {task}' if task else ''} in steps.parquet"
        raise InputError(f"{path} was changed: {what}, {episodes['turns'].sum()} in episodes.jsonl")
    return Trace(
        steps=steps,
        generations=generations[generations["policy"] == "agent"],
        decisions=_decisions(timings),
        episodes=episodes,
        cluster_by=cluster,
    )


def _table(path: Path, schema: pa.Schema, task: str | None) -> pd.DataFrame:
    table = read_table(path, schema, task)
    lists = [field.name for field in schema if pa.types.is_list(field.type)]
    columns = {name: _lists(table[name]) for name in lists}
    frame: pd.DataFrame = table.drop_columns(lists).to_pandas(self_destruct=True, split_blocks=True)
    return frame.assign(**columns)[schema.names]


def _lists(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """A column of arrays in which all empty ones are the same: most claims and profiles are."""
    filled = pc.greater(pc.list_value_length(column), 0)
    rows = np.empty(len(column), dtype=object)
    empty = np.empty(1, dtype=object)
    kind = column.type.value_type
    empty[0] = np.empty(0, dtype=object if pa.types.is_struct(kind) else kind.to_pandas_dtype())
    rows[:] = empty
    rows[filled.to_numpy()] = column.filter(filled).to_numpy()
    return rows


def _episodes(path: Path) -> pd.DataFrame:
    lives = read_episodes(path)
    rows = [[getattr(one, name) for name in EPISODES] for one in lives]
    turns = [len(one.rewards) for one in lives]
    return pd.DataFrame(rows, columns=list(EPISODES)).assign(turns=turns)


def _decisions(timings: Lives) -> pd.DataFrame:
    """One row a decision of the agent, in the order of its life."""
    lives = [life for life in timings if life["policy"] == "agent"]
    counts = [len(life["decisions"]) for life in lives]
    first = [np.zeros(count) for count in counts]
    for life, waits in zip(lives, first, strict=True):
        for generation in reversed(life["generations"]):
            waits[generation["turn"]] = generation["first_token_seconds"]
    columns = {
        **{key: np.repeat([life[key] for life in lives], counts) for key in DECISIONS[:3]},
        "seconds": [seconds for life in lives for seconds in life["decisions"]],
        "first_token_seconds": np.concatenate(first) if first else [],
        "peak_memory": [held for life in lives for held in life["memory"]],
    }
    return pd.DataFrame(columns, columns=list(DECISIONS))
