"""Numbers that people give as options."""

from __future__ import annotations

import numbers
import operator
from typing import Any


def whole(value: Any) -> int:
    """`operator.index`, for which truth values are integers; raises TypeError for them too."""
    if isinstance(value, bool):
        raise TypeError("a truth value is not a number")
    return operator.index(value)


def is_number(value: object) -> bool:
    """Whether `value` is a real number, and no truth value."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
