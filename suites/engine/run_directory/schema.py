"""Format version of run directories, and the columns of their tables, derived from the records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

from ....records import ROUND_COLUMNS, STEP_COLUMNS

FORMAT_VERSION = 2
"""Version of the files of a run directory; goes up whenever their names or contents change."""

SCALARS: dict[Any, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
}


def table_schema(columns: Mapping[str, Any]) -> pa.Schema:
    """The schema of a table with these columns: name -> type, as in `records.STEP_COLUMNS`."""
    return pa.schema([(name, arrow_type(hint)) for name, hint in columns.items()])


def arrow_type(hint: Any) -> pa.DataType:
    """The arrow type of a record's field.

    Tuples are lists, records are structs, literals are strings. A value of several types is a
    string that holds it as JSON.
    """
    if hint in SCALARS:
        return SCALARS[hint]
    if is_dataclass(hint):
        fields = get_type_hints(hint, include_extras=True)
        return pa.struct([(name, arrow_type(one)) for name, one in fields.items()])
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return arrow_type(arguments[0])
    if origin is tuple:
        return pa.list_(arrow_type(arguments[0]))
    if origin in (Literal, Union, UnionType):
        return pa.string()
    raise TypeError(f"a column cannot hold {hint}")


STEPS = table_schema(STEP_COLUMNS)
GENERATIONS = table_schema(ROUND_COLUMNS)
