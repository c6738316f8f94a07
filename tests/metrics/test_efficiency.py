"""Acceptance, repairs, tokens, latency and memory by hand."""

import pytest

from tasteshift.metrics import METRICS


def test_acceptance_by_hand(steps, rounds, traced, value):
    table = rounds(
        {"accepted": 3, "drafted_depth": 4, "drafted_nodes": 10},
        {"round": 1, "accepted": 0, "drafted_depth": 2, "drafted_nodes": 4},
        {"user": 1, "accepted": 2, "drafted_depth": 2, "drafted_nodes": 2},
        {"user": 2, "round": -1, "accepted": 0, "max_depth": 0, "drafted_depth": 0},
    )
    trace = traced(steps({}), table)
    assert value("acceptance_rate", trace) == pytest.approx(5 / 12)
    assert value("acceptance_rate_drafted", trace) == pytest.approx(5 / 8)
    assert value("draft_acceptance_rate", trace) == pytest.approx(5 / 16)
    assert value("mean_acceptance_length", trace) == pytest.approx((4 + 1 + 3) / 3)


def test_without_a_draft_there_is_no_acceptance_rate(steps, rounds, traced, value):
    nothing = {"max_depth": 0, "drafted_depth": 0, "drafted_nodes": 0, "accepted": 0}
    trace = traced(steps({}), rounds(nothing))
    assert value("acceptance_rate", trace) is None
    assert value("acceptance_rate_drafted", trace) is None
    assert value("draft_acceptance_rate", trace) is None
    assert value("mean_acceptance_length", trace) == 1


def test_repairs_fallbacks_and_tokens_by_hand(steps, rounds, traced, value):
    table = rounds(
        {"tokens": 7},
        {"tokens": 7, "round": 1},
        {"turn": 1, "outcome": "fallback", "tokens": 5},
        {"turn": 1, "outcome": "repaired", "reply": 1, "tokens": 6},
        {"user": 1, "outcome": "fallback", "tokens": 20},
    )
    played = steps({}, {"turn": 1}, {"user": 1}, {"user": 2})
    trace = traced(played, table)
    assert value("tokens_per_decision", trace) == pytest.approx((7 + 5 + 6 + 20) / 4)
    assert value("repair_rate", trace) == pytest.approx(1 / 3)
    assert value("fallback_rate", trace) == pytest.approx(1 / 3)


def test_latency_quantiles_by_hand(decisions, traced, value):
    seconds = [0.1, 0.2, 0.3, 0.4, 1.0]
    trace = traced(decisions=decisions(*({"user": u, "seconds": s} for u, s in enumerate(seconds))))
    assert value("decision_latency_p50", trace) == pytest.approx(0.3)
    assert value("decision_latency_p95", trace) == pytest.approx(0.4 + 0.8 * 0.6)
    assert value("decision_latency_p99", trace) == pytest.approx(0.4 + 0.96 * 0.6)


def test_time_to_first_token_by_hand_skips_decisions_without_a_text(decisions, traced, value):
    firsts = [0.0, 0.2, 0.9, 0.0, 0.4]
    table = decisions(*({"user": u, "first_token_seconds": s} for u, s in enumerate(firsts)))
    assert value("time_to_first_token", traced(decisions=table)) == pytest.approx(0.4)
    assert value("time_to_first_token", traced(decisions=table[:1])) is None


def test_peak_memory_by_hand_is_a_maximum_without_an_interval(decisions, traced):
    table = decisions(*({"user": user // 2, "peak_memory": 100 + user} for user in range(60)))
    found = METRICS.get("peak_memory").estimate(traced(decisions=table))
    assert (found.value, found.low, found.high, found.n) == (159.0, None, None, 30)
