"""Version of the HTTP protocol between boards and clients, and how strictly bodies are read."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

VERSION = 2
"""Goes up whenever a path, a field or its meaning changes; both sides must have the same one."""

API = f"/api/v{VERSION}"
"""Prefix of every path but the board's page."""

OLDER_APIS = tuple(f"/api/v{version}" for version in range(1, VERSION))

SINGLE_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""Pattern of a text without control characters."""


class StrictModel(BaseModel):
    """A request body: unknown members are refused, and no value is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


INTEGRAL = BeforeValidator(_integral)
"""Last in the `Annotated` of an integer: accepts 2.0 as well, an integer in JSON Schema."""
