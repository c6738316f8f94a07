"""Forgetting and savings over two recurring regimes, by hand."""

import pandas as pd
import pytest

from tasteshift.metrics import METRICS


def test_forgetting_and_savings_by_hand(qualities, traced, value):
    #            first visit to 0 | to 1     | to 0 again | to 1 again | to 0 once more
    quality = [0.2, 0.5, 0.8, 0.1, 0.6, 0.7, 0.9, 0.4, 0.5]
    regime = [0, 0, 0, 1, 1, 0, 0, 1, 0]
    trace = traced(qualities(quality, regime))
    assert value("forgetting", trace) == pytest.approx(
        ((0.8 - 0.7) + (0.6 - 0.4) + (0.9 - 0.5)) / 3
    )
    assert value("savings", trace) == pytest.approx(((0.7 - 0.2) + (0.4 - 0.1)) / 2)


def test_visits_do_not_span_episodes(qualities, traced):
    table = pd.concat(
        [
            qualities([0.2, 0.8, 0.1], [0, 0, 1]),
            qualities([0.3, 0.6, 0.5], [1, 0, 1], user=1),
            qualities([0.4, 0.4, 0.4], [1, 1, 1], user=2),
            qualities([0.9, 0.1, 0.9], [0, 1, 0], policy="oracle"),
        ]
    )
    forgetting = METRICS.get("forgetting").estimate(traced(table))
    savings = METRICS.get("savings").estimate(traced(table))
    assert (forgetting.value, forgetting.n) == (pytest.approx(0.3 - 0.5), 1)
    assert (savings.value, savings.n) == (pytest.approx(0.5 - 0.3), 1)


def test_no_value_where_no_regime_is_visited_twice(qualities, traced, value):
    for regime in ([0, 0, 0], [0, 1, 1], [0, 1, 2]):
        trace = traced(qualities([0.5, 0.4, 0.3], regime))
        assert value("forgetting", trace) is None
        assert value("savings", trace) is None
