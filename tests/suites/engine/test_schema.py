"""Table schemas derive from the records, and rows fit them."""

from dataclasses import fields
from typing import Annotated, Literal

import pyarrow as pa
import pytest

from tasteshift.metrics import trace
from tasteshift.records import ROUND_COLUMNS, STEP_COLUMNS, Claim, Generation, Reply, Round, Step
from tasteshift.suites.engine.run_directory.schema import GENERATIONS, STEPS, arrow_type
from tasteshift.suites.engine.trace_rows import round_rows, step_row

KEY = ["task", "seed", "user", "policy"]


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (bool, pa.bool_()),
        (Annotated[int, "a number"], pa.int64()),
        (tuple[float, ...], pa.list_(pa.float64())),
        (Literal["a", "b"], pa.string()),
        (str | float | bool, pa.string()),
    ],
)
def test_every_type_of_a_field_has_an_arrow_type(hint, expected):
    assert arrow_type(hint) == expected


def test_a_type_that_no_column_can_hold_is_refused():
    with pytest.raises(TypeError, match="cannot hold"):
        arrow_type(dict[str, int])


def test_the_columns_are_the_fields_of_the_records():
    assert STEPS.names == [*KEY, "age_group", *(field.name for field in fields(Step))]
    counted = [field.name for field in fields(Round) if not field.name.endswith("_seconds")]
    reply = ["reply", "outcome", "text", "prompt_tokens", "tokens", "round"]
    assert GENERATIONS.names == [*KEY, "session", "turn", *reply, *counted]
    claims = pa.struct([("item", pa.int64()), ("field", pa.string()), ("value", pa.string())])
    assert STEPS.field("claims").type == pa.list_(claims)
    assert tuple(STEP_COLUMNS) == trace.STEPS
    assert tuple(name for name in ROUND_COLUMNS if name != "policy") == trace.GENERATIONS


def test_every_column_has_a_meaning():
    for columns in (STEP_COLUMNS, ROUND_COLUMNS):
        assert all(hint.__metadata__[0] for hint in columns.values())


def test_rows_have_the_columns_of_their_table():
    numbers = dict.fromkeys((field.name for field in fields(Step)), 0)
    lists = {"slate": (3,), "profile": (), "topics": (1,), "liking": (0.5,)}
    flags = {"utterance": "", "fault": "", "fresh_chosen": False, "gift": False}
    step = Step(**numbers | lists | flags | {"claims": (Claim(3, "year", 1999.0),)})
    row = step_row(step)
    assert [*KEY, "age_group", *row] == STEPS.names
    assert row["claims"] == [{"item": 3, "field": "year", "value": "1999.0"}]
    reply = Reply("text", "valid", Generation(7, (1, 2), (Round(2, 2, 2, 3, 1, 2),)))
    (row,) = round_rows((reply,))
    assert [*KEY, "session", "turn", *row] == GENERATIONS.names
