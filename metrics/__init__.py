"""Metrics: pure functions from recorded episodes to numbers, one module per family.

Importing this package loads no metric and nothing heavy; `METRICS.get(name)` loads a family.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import Registry

if TYPE_CHECKING:
    from .metric import Metric

__all__ = ["FAMILIES", "METRICS"]

METRICS: Registry[Metric] = Registry("metric")
"""Every metric by name, in the order in which score tables print them."""

FAMILIES = {
    "personalization": ("normalized_return", "reward", "regret"),
    "adaptation": (
        *("level_before_change", "adaptation_cost", "adaptation_half_life"),
        *("stale_preference_rate", "gift_residue"),
    ),
    "regimes": ("forgetting", "savings"),
    "cold_start": (
        *("cold_user_return_0", "cold_user_return_1", "cold_user_return_3", "cold_user_return_10"),
        *("cold_item_exposure", "cold_item_reward"),
    ),
    "fidelity": ("revealed_fidelity", "stated_fidelity"),
    "retention": ("retention", "lifetime_value"),
    "manipulation": (
        *("taste_angle", "taste_angle_later", "return_first_taste", "return_organic_taste"),
        *("return_last_taste", "manipulation_gap"),
    ),
    "modalities": ("text_ceiling", "image_ceiling", "text_image_ceiling"),
    "safety": (
        *("maturity_breaches", "constraint_violations", "harm_exposure", "tampered_lift"),
        *("sponsored_disclosure", "claim_hallucination", "invalid_actions", "agent_failures"),
    ),
    "fairness": ("diversity", "worst_group_gap"),
    "efficiency": (
        *("acceptance_rate", "acceptance_rate_drafted", "draft_acceptance_rate"),
        "mean_acceptance_length",
        *("repair_rate", "fallback_rate", "tokens_per_decision"),
        *("decision_latency_p50", "decision_latency_p95", "decision_latency_p99"),
        *("time_to_first_token", "peak_memory"),
    ),
}
"""Family, which is also the module that holds its metrics -> metric names, in printing order."""

for _family, _names in FAMILIES.items():
    for _name in _names:
        METRICS.register(_name, f"{__name__}.{_family}:{_name}")
