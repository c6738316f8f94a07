"""The rows of a parquet file that a stranger has written: a task at a time, and within bounds.

A few bytes of such a file can stand for gigabytes: repeated values take no room in it. So its
own account of its sizes must be modest, and every page agree with it, before anything is
unpacked; then it is read in small batches whose texts stay in dictionaries until none is found
too long, and counted as they come.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...suites.engine.run_directory.reader import check_columns, parquet_errors
from .parquet_pages import LARGEST_GROUP, check_pages
from .rejection import VerificationError

LARGEST_TASK = 2**31
"""Bytes in memory of a task, counted as they come."""

LONGEST_TEXT = 2**16
"""Bytes of one text."""

BATCH = 1024


class RecordedTable:
    """A table with exactly the columns of `schema`; only one task of it is ever in memory.

    name   of the file
    tasks  task -> its number of rows, in file order

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
                metadata.schema.column(place).path
                for place in range(metadata.num_columns)
                if metadata.schema.column(place).physical_type == "BYTE_ARRAY"
            ]
            for group in range(metadata.num_row_groups):
                for batch in self._batches(group, ["task"]):
                    for told in batch["task"].value_counts().to_pylist():
                        task, count = told["values"], told["counts"]
                        self.tasks[task] = self.tasks.get(task, 0) + count
                        self._groups.setdefault(task, []).append(group)
        if sum(self.tasks.values()) != metadata.num_rows:
            self._refuse("does not hold as many rows as it says")

    def of(self, task: str) -> pa.Table:
        """All rows of one task in file order, whatever the file's statistics say of it.

        Raises VerificationError for values that are missing or are not of their type.
        """
        parts, held = [], 0
        with _reading(self._path):
            for group in dict.fromkeys(self._groups.get(task, ())):
                for batch in self._batches(group, self._schema.names):
                    part = batch.filter(pc.equal(batch["task"], task))
                    held += part.nbytes
                    if held > LARGEST_TASK:
                        self._refuse(f"holds more than {LARGEST_TASK >> 20} MiB of {task}")
                    parts.append(part)
        table = pa.Table.from_batches(parts, self._schema)
        if len(table) != self.tasks.get(task, 0):
            self._refuse("does not read alike twice")
        return table

    def _batches(self, group: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of a row group, a few rows at a time, every value checked."""
        wanted = pa.schema([self._schema.field(name) for name in columns])
        with pq.ParquetFile(self._path, read_dictionary=self._texts) as file:
            for batch in file.iter_batches(BATCH, row_groups=[group], columns=columns):
                if batch.nbytes > LARGEST_GROUP:
                    self._refuse("has rows that are larger than any run writes")
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
            if longest is not None and longest > LONGEST_TEXT:
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
    """As `reading`; names of columns, too, may be no text."""
    try:
        with parquet_errors(path):
            yield
    except UnicodeDecodeError:
        raise VerificationError(f"{path.name} cannot be read: it was changed") from None


def _columns(kind: pa.DataType) -> int:
    """How many columns of a parquet file hold values of this type."""
    if pa.types.is_list(kind):
        return _columns(kind.value_type)
    return sum(_columns(part.type) for part in kind) if pa.types.is_struct(kind) else 1
