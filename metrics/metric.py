"""`Metric` and the decorator that declares one: a pure function from a trace to an estimate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..records import Direction
from .statistics import Estimate
from .trace import Trace

Estimator = Callable[[Trace], Estimate | None]


@dataclass(frozen=True)
class Metric:
    """A named function from the recorded rows of one task to a number with its interval.

    name       snake_case, unique
    unit       unit of the value, such as "share" or "seconds"
    direction  whether higher or lower is better
    timed    True where the number depends on a wall clock; such numbers are written to
               timings.json instead of scores.json
    version    goes up whenever the same trace would give another number; suites hash it
    summary    definition in one sentence: the first line of the function's docstring
    estimate   the function; returns None where the metric does not apply to the trace
    """

    name: str
    unit: str
    direction: Direction
    timed: bool
    version: int
    summary: str
    estimate: Estimator


def metric(
    *, unit: str, direction: Direction, timed: bool = False, version: int = 1
) -> Callable[[Estimator], Metric]:
    """Turn a function into the metric of the same name, summarized by its docstring."""

    def declare(estimate: Estimator) -> Metric:
        summary = (estimate.__doc__ or "").strip().partition("\n")[0]
        return Metric(estimate.__name__, unit, direction, timed, version, summary, estimate)

    return declare
