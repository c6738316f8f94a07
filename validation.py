"""Validation of numeric parameters: ranges, and one-line errors outside them.

A leaf at the package root, for packages that otherwise do not import each other.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import InputError


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`, both included by default; never NaN or a bool.

    whole  integers only, of Python or NumPy
    below  exclude `most`
    above  exclude `least`
    """

    least: float
    most: float
    whole: bool = False
    below: bool = False
    above: bool = False

    def __contains__(self, number: float) -> bool:
        over = self.least < number if self.above else self.least <= number
        return over and (number < self.most if self.below else number <= self.most)

    def __str__(self) -> str:
        kind = "whole number" if self.whole else "number"
        least = f"above {self.least:,.9g}" if self.above else f"of at least {self.least:,.9g}"
        most = f" and below {self.most:,.9g}" if self.below else f" and at most {self.most:,.9g}"
        return f"a {kind} {least}{most if self.most < np.inf else ''}"


SHARE = Range(0, 1)
DEGREES = Range(0, 180)
COST = Range(0, 100)
RATE = Range(0, 10)
HALF_LIFE = Range(1e-3, 1e6)
COUNT = Range(1, 1e6, whole=True)
DAY = Range(0, 1e6, whole=True)
LATER_DAY = Range(1, 1e6, whole=True)
SEED = Range(0, np.inf, whole=True)


def number(what: str, value: Any, allowed: Range) -> Any:
    """The value as a Python number; raises InputError naming `what` outside the range.

    Integers stay integers, so that 30 is serialized as 30 and not as 30.0.
    """
    found = _plain(value, allowed.whole)
    if found is None or found not in allowed:
        raise InputError(f"{what} must be {allowed}, not {_short(value)}")
    return found


def check(params: Any, **allowed: Range | type[bool]) -> None:
    """Validate fields of a frozen dataclass and convert them to Python numbers, in place."""
    name = type(params).__name__
    for field, kind in allowed.items():
        value = getattr(params, field)
        if isinstance(kind, Range):
            value = number(f"{field} of {name}", value, kind)
        elif isinstance(value, (bool, np.bool_)):
            value = bool(value)
        else:
            raise InputError(f"{field} of {name} must be True or False, not {_short(value)}")
        object.__setattr__(params, field, value)


def in_order(params: Any, first: str, last: str) -> None:
    """Raise InputError if the field `last` is smaller than the field `first`."""
    least, most = getattr(params, first), getattr(params, last)
    if most < least:
        name = type(params).__name__
        raise InputError(f"{last} of {name} must be at least {first}, {least}, not {most}")


def _plain(value: Any, whole: bool) -> int | float | None:
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        real = isinstance(value, (float, np.floating)) and not whole
        return float(value) if real else None


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
