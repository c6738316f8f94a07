"""How strictly a request's body is read: nothing unknown, nothing converted, one line a text."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""Text without control characters."""


class Strict(BaseModel):
    """A body whose members are all known and of the type that they are declared with."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Stands last in the `Annotated` of an integer: 2.0 is one, too, as JSON Schema has it."""
