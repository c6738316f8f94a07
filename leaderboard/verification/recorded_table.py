"""Read an untrusted parquet file one task at a time and within memory bounds.

A few bytes of a parquet file can stand for gigabytes, since repeated values are stored once. So
its metadata must keep within bounds, and every page agree with them, before anything is
decompressed. Then the file is read in small batches. Text stays dictionary-encoded until its
length was checked, and sizes are added up while reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...suites.engine.run_directory.reader import check_columns, parquet_errors
from ..rejection import VerificationError
from .parquet_pages import MAX_GROUP_BYTES, check_pages

MAX_TASK_BYTES = 2**31
"""Size in memory of the rows of one task."""

MAX_TEXT_BYTES = 2**16
"""Size of one text value."""

BATCH_ROWS = 1024


class RecordedTable:
    """A parquet file with exactly the columns of `schema`; one task is in memory at a time.

    name   file name
    tasks  task -> number of its rows, in file order

    Raises VerificationError for a file that is not such a table or exceeds a bound, and InputError
    for one that cannot be read or has other columns.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self.name = path.name
        self.tasks: dict[str, int] = {}
        self._groups: dict[str, list[int]] = {}
        with _reading(path):
            check_pages(path, sum(map(_columns, schema.types)))
        with _reading(path), pq.ParquetFile(path) as file:
            check_columns(path, file.schema_arrow, schema)
            metadata = file.metadata
            self._texts = [
                metadata.schema.column(index).path
                for index in range(metadata.num_columns)
                if metadata.schema.column(index).physical_type == "BYTE_ARRAY"
            ]
            for group in range(metadata.num_row_groups):
                for batch in self._batches(group, ["task"]):
                    for entry in batch["task"].value_counts().to_pylist():
                        task, count = entry["values"], entry["counts"]
                        self.tasks[task] = self.tasks.get(task, 0) + count
                        self._groups.setdefault(task, []).append(group)
        if sum(self.tasks.values()) != metadata.num_rows:
            self._refuse("does not hold as many rows as its metadata says")

    def of(self, task: str) -> pa.Table:
        """Return all rows of one task in file order; the file's statistics are not used.

        Raises VerificationError for values that are missing or not of their type.
        """
        parts, size = [], 0
        with _reading(self._path):
            for group in dict.fromkeys(self._groups.get(task, ())):
                for batch in self._batches(group, self._schema.names):
                    part = batch.filter(pc.equal(batch["task"], task))
                    size += part.nbytes
                    if size > MAX_TASK_BYTES:
                        self._refuse(f"holds more than {MAX_TASK_BYTES >> 20} MiB of {task}")
                    parts.append(part)
        table = pa.Table.from_batches(parts, self._schema)
        if len(table) != self.tasks.get(task, 0):
            self._refuse("gives different rows when read again")
        return table

    def _batches(self, group: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns of a row group in small batches, with every value checked."""
        wanted = pa.schema([self._schema.field(name) for name in columns])
        with pq.ParquetFile(self._path, read_dictionary=self._texts) as file:
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
                if batch.nbytes > MAX_GROUP_BYTES:
                    self._refuse("has rows that exceed the allowed size")
                for name, column in zip(columns, batch.columns, strict=True):
                    self._check_values(name, column)
                yield batch.cast(wanted)

    def _check_values(self, name: str, column: pa.Array) -> None:
        """Raise VerificationError for empty values, invalid text and text that is too long."""
        try:
            column.validate(full=True)
        except pa.ArrowException:
            self._refuse(f"cannot be read: column {name} was changed")
        if column.null_count:
            self._refuse(f"has an empty value in column {name}")
        if pa.types.is_dictionary(column.type):
            longest = pc.max(pc.binary_length(column.dictionary)).as_py()
            if longest is not None and longest > MAX_TEXT_BYTES:
                self._refuse(f"has a text of {longest:,} bytes in column {name}")
        elif pa.types.is_list(column.type):
            self._check_values(name, column.flatten())
        elif pa.types.is_struct(column.type):
            for part in column.flatten():
                self._check_values(name, part)

    def _refuse(self, what: str) -> None:
        raise VerificationError(f"{self.name} {what}")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Like `parquet_errors`, and rejects column names that are not valid text."""
    try:
        with parquet_errors(path):
            yield
    except UnicodeDecodeError:
        raise VerificationError(f"{path.name} cannot be read: it was changed") from None


def _columns(kind: pa.DataType) -> int:
    """Return the number of parquet columns that store values of this type."""
    if pa.types.is_list(kind):
        return _columns(kind.value_type)
    return sum(_columns(part.type) for part in kind) if pa.types.is_struct(kind) else 1
