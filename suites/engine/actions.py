"""Checks of actions, which come from code that TasteShift does not control."""

from __future__ import annotations

from math import isfinite
from operator import index
from typing import Any

from ...records import Action, Claim

LONGEST_TEXT = 1000
"""Characters of a claim's field or value."""

MOST_CLAIMS = 100
"""Claims in one action."""


def plain_action(raw: Any) -> Action | None:
    """An action of plain Python values; None where `raw` does not have the fields of an action."""
    try:
        claims = tuple(
            Claim(index(claim.item), _plain_text(claim.field), _plain_value(claim.value))
            for claim in getattr(raw, "claims", ())
        )
        profile = tuple(float(value) for value in getattr(raw, "profile", ()))
        slate = tuple(index(item) for item in raw.slate)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None
    small = all(abs(item) < 2**62 for item in (*slate, *(claim.item for claim in claims)))
    return Action(slate, claims, profile) if small and all(map(isfinite, profile)) else None


def is_valid_action(action: Action, num_items: int, num_topics: int, slate_size: int) -> bool:
    """Whether an action of plain values can be shown: known, distinct items, and not too many.

    Claims must be about known items and number at most MOST_CLAIMS, and a profile must have one
    number a topic.
    """
    slate = action.slate
    items = {*slate, *(claim.item for claim in action.claims)}
    return (
        len(set(slate)) == len(slate) <= slate_size
        and all(0 <= item < num_items for item in items)
        and len(action.claims) <= MOST_CLAIMS
        and len(action.profile) in (0, num_topics)
    )


def _plain_text(value: Any) -> str:
    """Text that can be encoded; raises ValueError where it cannot or is too long."""
    text = str(value)
    text.encode()
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a claim holds at most {LONGEST_TEXT} characters")
    return text


def _plain_value(value: Any) -> str | float | bool:
    if isinstance(value, str):
        return _plain_text(value)
    if isinstance(value, bool):
        return value
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, bool):
        return number
    if not isinstance(number, (int, float)) or not isfinite(number):
        raise TypeError("a claim's value is a finite number, a string or a boolean")
    return float(number)
