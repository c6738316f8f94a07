"""JSON with one meaning only, whoever reads it."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from .rejection import VerificationError

LONGEST_NUMBER = 40
"""Characters; Python itself writes at most 24."""


def check_json(path: Path) -> None:
    """Raise VerificationError unless a file holds JSON (.json), or JSON in every line (.jsonl).

    Beyond what any reader asks for, no key may stand twice in one object, numbers must be finite
    and of a sane length, nesting as deep as Python allows, and no text may hold the character 0,
    which databases do not take.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise VerificationError(f"{path.name} is no UTF-8 text") from None
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    for number, line in enumerate(lines, start=1):
        where = path.name if path.suffix == ".json" else f"{path.name}, line {number}"
        try:
            DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            raise VerificationError(f"{where} cannot be read: {error}") from None
    if "\\u0000" in text:
        raise VerificationError(f"{path.name} holds the character 0, which nobody can store")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"key {name[:80]!r} is there twice")
        found[name] = value
    return found


def _whole(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _real(text: str) -> float:
    if len(text) > LONGEST_NUMBER or not isfinite(float(text)):
        raise ValueError(f"{text[:LONGEST_NUMBER]} is no number that can be kept")
    return float(text)


def _never(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_whole, parse_float=_real, parse_constant=_never
)
