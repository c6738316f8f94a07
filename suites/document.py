"""Frozen dataclasses as plain JSON values, and back.

Numbers stay what they were (30 does not become 30.0), so that a thing, its document and the thing
made from that document all hash alike. The dataclasses judge their own values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import InputError
from ..registry import UnknownName, unknown


def document(thing: Any) -> dict[str, Any]:
    """A dataclass, and those in it, as JSON values; tuples become lists."""
    values: dict[str, Any] = _plain(asdict(thing))
    return values


def restored(kind: type[Any], values: Any, source: str, at: str = "") -> Any:
    """The `kind` of dataclass that has these JSON values; fields with defaults may be left out.

    source  what the whole document is called in messages, such as ``my.yaml``
    at      where in it these values stand, such as ``tasks[1].scenario``

    Raises InputError that names the place of an unknown, missing or unusable value.
    """
    place = f"{source}: {at}" if at else source
    if not isinstance(values, Mapping):
        raise InputError(f"{place} must be a mapping of fields, not {type(values).__name__}")
    hints = get_type_hints(kind)
    declared = {field.name: field for field in fields(kind)}
    for key in values:
        if key not in declared:
            raise UnknownName(f"{place}: {unknown('key', str(key), declared)}")
    for name, field in declared.items():
        if field.default is MISSING and name not in values:
            raise InputError(f"{place}: {name} is missing; add it")
    given = {
        name: _value(hints[name], value, source, f"{at}.{name}" if at else name)
        for name, value in values.items()
    }
    try:
        return kind(**given)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def _value(hint: Any, value: Any, source: str, at: str) -> Any:
    union = get_origin(hint) in (Union, UnionType)
    for one in get_args(hint) if union else (hint,):
        if (
            is_dataclass(one)
            and isinstance(one, type)
            and (isinstance(value, Mapping) or not union)
        ):
            return restored(one, value, source, at)
        if get_origin(one) is tuple:
            if not isinstance(value, list | tuple):
                raise InputError(f"{source}: {at} must be a list, not {type(value).__name__}")
            each = get_args(one)[0]
            return tuple(_value(each, item, source, f"{at}[{k}]") for k, item in enumerate(value))
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
