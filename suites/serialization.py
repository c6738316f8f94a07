"""JSON forms: dataclasses as plain values and back, canonical JSON, and its hash.

Numbers stay what they were (30 does not become 30.0), so that a dataclass, its JSON form and the
dataclass made from that form all hash alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import InputError
from ..registry import UnknownName, unknown


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; floats in their shortest form that reads back equal.

    Raises ValueError for NaN and infinities, which JSON does not have.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256(value: Any) -> str:
    """Hexadecimal SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def dataclass_to_dict(instance: Any) -> dict[str, Any]:
    """A dataclass, and those in it, as JSON values; tuples become lists."""
    values: dict[str, Any] = _without_tuples(asdict(instance))
    return values


def dataclass_from_dict(kind: type[Any], values: Any, source: str, at: str = "") -> Any:
    """The `kind` of dataclass that has these JSON values; fields with defaults may be left out.

    source  name of the whole document in messages, such as ``my.yaml``
    at      position of these values in it, such as ``tasks[1].scenario``

    Raises InputError that names the position of an unknown, missing or unusable value. The
    dataclasses check the range of their own values.
    """
    where = f"{source}: {at}" if at else source
    if not isinstance(values, Mapping):
        raise InputError(f"{where} must be a mapping of fields, not {type(values).__name__}")
    hints = get_type_hints(kind)
    declared = {field.name: field for field in fields(kind)}
    for key in values:
        if key not in declared:
            raise UnknownName(f"{where}: {unknown('key', str(key), declared)}")
    for name, field in declared.items():
        if field.default is MISSING and name not in values:
            raise InputError(f"{where}: {name} is missing; add it")
    given = {
        name: _field_value(hints[name], value, source, f"{at}.{name}" if at else name)
        for name, value in values.items()
    }
    try:
        return kind(**given)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _field_value(hint: Any, value: Any, source: str, at: str) -> Any:
    """The value of a field of type `hint`: mappings become dataclasses, lists become tuples."""
    union = get_origin(hint) in (Union, UnionType)
    for option in get_args(hint) if union else (hint,):
        if (
            is_dataclass(option)
            and isinstance(option, type)
            and (isinstance(value, Mapping) or not union)
        ):
            return dataclass_from_dict(option, value, source, at)
        if get_origin(option) is tuple:
            if not isinstance(value, list | tuple):
                raise InputError(f"{source}: {at} must be a list, not {type(value).__name__}")
            item = get_args(option)[0]
            return tuple(
                _field_value(item, one, source, f"{at}[{k}]") for k, one in enumerate(value)
            )
    return value


def _without_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_tuples(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tuples(item) for item in value]
    return value
