"""Cost profiles: what a pass costs by its rows, as a fixed table of a configuration.

A decoder that looked at the clock while it decodes would build another tree on another day. So
the cost of a pass over n rows is a table (see `stored_profiles`). Only ratios matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

from ...errors import InputError
from ..execution.fixed_shapes import power_of_two

ROWS = (1, 2, 4, 8, 16, 32, 64)
"""Rows per pass at which costs are measured."""


@dataclass(frozen=True)
class CostProfile:
    """Cost of one pass in milliseconds by the number of rows that it reads.

    rows    numbers of rows, rising, from 1
    target  cost of a target pass over so many rows, > 0
    draft   cost of a draft pass over so many rows and of ranking the next tokens, > 0
    trust   expected acceptance rate of the draft model's best token before a text has shown it,
            in (0, 1); it is not measured
    steps   whether rows and texts are padded to powers of two, as in passes of a fixed shape

    Between and beyond the given numbers costs are interpolated linearly, and a pass never costs
    less than one over fewer rows. Raises InputError for an unusable table.
    """

    rows: tuple[int, ...]
    target: tuple[float, ...]
    draft: tuple[float, ...]
    trust: float = 0.7
    steps: bool = False

    def __post_init__(self) -> None:
        for name in ("rows", "target", "draft"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        rising = list(self.rows) == sorted(set(self.rows)) and self.rows[:1] == (1,)
        if not rising or len(self.rows) < 2:
            raise InputError("profile: rows must rise from 1 and name at least two sizes")
        for name in ("target", "draft"):
            costs = getattr(self, name)
            if len(costs) != len(self.rows) or not all(0 < cost < float("inf") for cost in costs):
                raise InputError(f"profile: {name} needs one finite cost above 0 for each of rows")
        if not 0 < self.trust < 1:
            raise InputError(f"profile: trust is {self.trust!r}; give a number between 0 and 1")

    def config(self) -> dict[str, Any]:
        """The table as JSON values."""
        costs = {name: list(getattr(self, name)) for name in ("rows", "target", "draft")}
        return {**costs, "trust": self.trust, "steps": self.steps}

    def of_target(self, most: int, texts: int = 1) -> list[float]:
        """Cost of a target pass over 0, 1, …, `most` rows of each text; 0 rows cost nothing."""
        return list(_filled(self.rows, self.target, most, texts, self.steps))

    def of_draft(self, most: int, texts: int = 1) -> list[float]:
        """Cost of a draft pass over 0, 1, …, `most` rows of each text; 0 rows cost nothing."""
        return list(_filled(self.rows, self.draft, most, texts, self.steps))


@lru_cache(maxsize=64)
def _filled(
    rows: tuple[int, ...], costs: tuple[float, ...], most: int, texts: int, steps: bool
) -> tuple[float, ...]:
    """Costs at 0 … most rows of each text."""
    rising = list(accumulate(costs, max))
    table, segment = [0.0], 0
    for each in range(1, most + 1):
        count = power_of_two(each) * power_of_two(texts) if steps else each * texts
        while segment + 2 < len(rows) and rows[segment + 1] < count:
            segment += 1
        left, right = rows[segment], rows[segment + 1]
        share = (count - left) / (right - left)
        table.append(rising[segment] + share * (rising[segment + 1] - rising[segment]))
    return tuple(table)
