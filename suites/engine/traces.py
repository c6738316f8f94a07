"""Reading a run directory as a `Trace`: the tables that metrics and reports take."""

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
from ...records import AGENT, Manifest
from .run_directory.reader import (
    check_columns,
    parquet_errors,
    read_episodes,
    read_manifest,
    read_table,
)
from .run_directory.schema import GENERATIONS, STEPS

Timings = Sequence[dict[str, Any]]
"""The episodes of timings.json: JSON values of `run_directory.timings.EpisodeTimings`."""


def read_trace(path: Path, timings: Timings) -> Trace:
    """All episodes of a run directory; raises InputError where a file is not whole."""
    return _trace(path, None, timings, _episodes(path), cluster_by(read_manifest(path)))


def trace_reader(path: Path, timings: Timings) -> Callable[[str], Trace]:
    """A function from the name of a task to its trace, which reads that task's rows only.

    The steps of a long run may not fit into memory, those of its longest task do. Raises
    InputError, now or when called, where a file is not whole.
    """
    episodes, cluster = _episodes(path), cluster_by(read_manifest(path))

    def trace(task: str) -> Trace:
        own = [one for one in timings if one["task"] == task]
        return _trace(path, task, own, episodes[episodes["task"] == task], cluster)

    return trace


def step_batches(path: Path, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Some columns of all steps of a run directory, a bounded number of rows at a time.

    The column `slate` holds how many items were shown. Raises InputError.
    """
    file = path / "steps.parquet"
    with parquet_errors(file), pq.ParquetFile(file) as table:
        check_columns(file, table.schema_arrow, STEPS)
        for batch in table.iter_batches(batch_size=2**16, columns=list(columns)):
            rows = pa.table(batch)
            if "slate" in columns:
                position = rows.column_names.index("slate")
                shown = pc.list_value_length(rows["slate"])
                rows = rows.set_column(position, "slate", shown)
            yield rows.to_pandas()


def cluster_by(manifest: Manifest) -> ClusterBy:
    """The column that tells independent samples apart: users, or seeds on the cohort track."""
    return "seed" if manifest.suite.get("track") == "cohort" else "user"


def _trace(
    path: Path, task: str | None, timings: Timings, episodes: pd.DataFrame, cluster: ClusterBy
) -> Trace:
    generations = _table(path / "generations.parquet", GENERATIONS, task)
    steps = _table(path / "steps.parquet", STEPS, task)
    if len(steps) != episodes["turns"].sum():
        what = f"{len(steps)} turns{f' of {task}' if task else ''} in steps.parquet"
        raise InputError(f"{path} was changed: {what}, {episodes['turns'].sum()} in episodes.jsonl")
    return Trace(
        steps=steps,
        generations=generations[generations["policy"] == AGENT],
        decisions=_decisions(timings),
        episodes=episodes,
        cluster_by=cluster,
    )


def _table(path: Path, schema: pa.Schema, task: str | None) -> pd.DataFrame:
    table = read_table(path, schema, task)
    lists = [field.name for field in schema if pa.types.is_list(field.type)]
    columns = {name: _list_column(table[name]) for name in lists}
    frame: pd.DataFrame = table.drop_columns(lists).to_pandas(self_destruct=True, split_blocks=True)
    return frame.assign(**columns)[schema.names]


def _list_column(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """A list column as arrays; all empty lists share one array, since most claims are empty."""
    filled = pc.greater(pc.list_value_length(column), 0)
    rows = np.empty(len(column), dtype=object)
    empty = np.empty(1, dtype=object)
    kind = column.type.value_type
    empty[0] = np.empty(0, dtype=object if pa.types.is_struct(kind) else kind.to_pandas_dtype())
    rows[:] = empty
    rows[filled.to_numpy()] = column.filter(filled).to_numpy()
    return rows


def _episodes(path: Path) -> pd.DataFrame:
    episodes = read_episodes(path)
    rows = [[getattr(one, name) for name in EPISODES] for one in episodes]
    turns = [len(one.rewards) for one in episodes]
    return pd.DataFrame(rows, columns=list(EPISODES)).assign(turns=turns)


def _decisions(timings: Timings) -> pd.DataFrame:
    """One row a decision of the agent, in the order of its episode."""
    episodes = [one for one in timings if one["policy"] == AGENT]
    counts = [len(one["decisions"]) for one in episodes]
    first_token = [np.zeros(count) for count in counts]
    for one, seconds in zip(episodes, first_token, strict=True):
        for generation in reversed(one["generations"]):
            seconds[generation["turn"]] = generation["first_token_seconds"]
    columns = {
        **{key: np.repeat([one[key] for one in episodes], counts) for key in DECISIONS[:3]},
        "seconds": [seconds for one in episodes for seconds in one["decisions"]],
        "first_token_seconds": np.concatenate(first_token) if first_token else [],
        "peak_memory": [held for one in episodes for held in one["memory"]],
    }
    return pd.DataFrame(columns, columns=list(DECISIONS))
