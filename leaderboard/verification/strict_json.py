"""Strict JSON: only documents that every reader understands in the same way."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from ..rejection import VerificationError

MAX_NUMBER_LENGTH = 40
"""Characters; Python itself writes at most 24."""


def check_json(path: Path) -> None:
    """Raise VerificationError unless a file holds JSON (.json) or JSON lines (.jsonl).

    Stricter than the JSON grammar: no key may occur twice in one object, numbers must be finite
    and of bounded length, nesting no deeper than Python allows, and no text may hold the
    character 0, which databases cannot store.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise VerificationError(f"{path.name} is not UTF-8 text") from None
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    for number, line in enumerate(lines, start=1):
        where = path.name if path.suffix == ".json" else f"{path.name}, line {number}"
        try:
            DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            raise VerificationError(f"{where} cannot be read: {error}") from None
    if "\\u0000" in text:
        raise VerificationError(f"{path.name} holds the character 0, which cannot be stored")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"key {name[:80]!r} occurs twice")
        found[name] = value
    return found


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER_LENGTH:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _float(text: str) -> float:
    if len(text) > MAX_NUMBER_LENGTH or not isfinite(float(text)):
        raise ValueError(f"{text[:MAX_NUMBER_LENGTH]} is not a number that can be stored")
    return float(text)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=_reject_constant,
)
