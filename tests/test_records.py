"""Every record round-trips through asdict, JSON and validation."""

import ast
import inspect
import json
from dataclasses import FrozenInstanceError, asdict, fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tasteshift import records
from tasteshift.records import Generation, Observation, Round

RECORDS = [
    kind
    for _, kind in inspect.getmembers(records, inspect.isclass)
    if is_dataclass(kind) and kind.__module__ == records.__name__
]
ADAPTERS = {kind: TypeAdapter(kind) for kind in RECORDS}

finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def any_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Strategy for instances of a record, with every field drawn."""
    return st.builds(
        kind, **{name: field_values(hint) for name, hint in get_type_hints(kind).items()}
    )


def field_values(hint: Any) -> st.SearchStrategy[Any]:
    """Strategy for JSON-compatible values of a field type."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return json_values
    if hint is float:
        return finite
    if is_dataclass(hint):
        return any_of(hint)
    if origin is UnionType:
        return st.one_of(*map(field_values, inner))
    if origin is tuple:
        return st.lists(field_values(inner[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(*map(field_values, inner), max_size=3)
    return st.from_type(hint)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@settings(deadline=None)
@given(data=st.data())
def test_a_record_round_trips_through_json(kind: type[Any], data: st.DataObject) -> None:
    record = data.draw(any_of(kind))
    text = json.dumps(asdict(record), allow_nan=False)
    assert ADAPTERS[kind].validate_python(json.loads(text)) == record


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=3)
@given(data=st.data())
def test_a_record_cannot_be_changed(kind: type[Any], data: st.DataObject) -> None:
    record = data.draw(any_of(kind))
    with pytest.raises(FrozenInstanceError):
        setattr(record, fields(kind)[0].name, None)


def test_values_of_the_wrong_type_are_refused() -> None:
    values = asdict(Observation(user=0, day=0, session=0, turn=0, steps_left=1))
    for broken in ({**values, "day": "tomorrow"}, {**values, "slate": 3}, {"user": 0}):
        with pytest.raises(ValidationError):
            TypeAdapter(Observation).validate_python(broken)


def test_records_import_only_the_standard_library() -> None:
    imports = [
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(inspect.getsource(records)))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert set(imports) <= {"__future__", "dataclasses", "typing"}


def test_rates_follow_their_definitions() -> None:
    """Two rounds by hand: 2 of 4 levels, then 1 of 4 where only 2 were submitted."""
    rounds = (Round(4, 4, 28, 29, 2, 3), Round(4, 2, 12, 13, 1, 2))
    generation = Generation(prompt_tokens=9, tokens=(1, 2, 3, 4, 5), rounds=rounds)
    assert generation.acceptance_rate == pytest.approx(3 / 8)
    assert generation.acceptance_rate_drafted == pytest.approx(3 / 6)
    assert generation.draft_acceptance_rate == pytest.approx(3 / 40)
    assert generation.mean_acceptance_length == pytest.approx(5 / 2)


def test_without_draft_tokens_there_is_no_acceptance_rate() -> None:
    one_by_one = Generation(9, (1, 2), (Round(0, 0, 0, 1, 0, 1), Round(0, 0, 0, 1, 0, 1)))
    assert one_by_one.acceptance_rate is None
    assert one_by_one.acceptance_rate_drafted is None
    assert one_by_one.draft_acceptance_rate is None
    assert one_by_one.mean_acceptance_length == 1.0
    assert Generation(9, (), ()).mean_acceptance_length is None
