"""From recorded lives to numbers: one file a family of metrics, all of them pure functions.

Nothing heavy is imported until a metric is asked for by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import Registry

if TYPE_CHECKING:
    from .metric import Metric

__all__ = ["METRICS"]

METRICS: Registry[Metric] = Registry("metric")
"""Every metric by name, in the order in which score tables print them."""

_FAMILIES = {
    "personalization": ("normalised_return", "reward", "regret"),
    "safety": ("maturity_breaches", "constraint_violations", "invalid_actions"),
    "efficiency": (
        *("acceptance_rate", "acceptance_rate_drafted", "block_efficiency"),
        *("repair_rate", "fallback_rate", "tokens_per_decision"),
        *("decision_latency_p50", "decision_latency_p95"),
    ),
}

for _family, _names in _FAMILIES.items():
    for _name in _names:
        METRICS.register(_name, f"{__name__}.{_family}:{_name}")
