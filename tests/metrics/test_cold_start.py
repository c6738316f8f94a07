"""Returns of cold users and exposure of new items, by hand."""

import pandas as pd
import pytest

from tasteshift.metrics import METRICS


def test_cold_user_returns_by_hand(rewards, episodes, traced, value):
    table = rewards(
        {"agent": [0.5, 0.9, 0.3], "random": [0.2, 0.5, 0.2], "oracle": [1.0, 0.7, 0.4]}
    )
    known = episodes(
        *({"user": user, "events": events} for user, events in enumerate((0, 0, 3))),
        {"user": 2, "events": 0, "policy": "random"},
    )
    trace = traced(table, episodes=known)
    assert value("cold_user_return_0", trace) == pytest.approx((0.3 + 0.4) / (0.8 + 0.2))
    assert value("cold_user_return_3", trace) == pytest.approx(0.1 / 0.2)
    assert value("cold_user_return_1", trace) is None
    assert value("cold_user_return_10", trace) is None
    assert value("cold_user_return_0", traced(table)) is None


def test_a_user_may_be_cold_under_one_seed_only(rewards, episodes, traced):
    table = pd.concat(
        rewards({"agent": [agent], "random": [0.0], "oracle": [1.0]}, seed=seed)
        for seed, agent in enumerate((0.25, 0.75))
    )
    known = episodes({"seed": 0, "events": 10}, {"seed": 1, "events": 0})
    found = METRICS.get("cold_user_return_10").estimate(traced(table, episodes=known))
    assert (found.value, found.n) == (0.25, 1)
    warm = episodes({"seed": 0, "events": 10}, {"seed": 1, "events": 11})
    assert METRICS.get("cold_user_return_10").estimate(traced(table, episodes=warm)) is None


def test_cold_item_metrics_by_hand(steps, traced, value):
    table = steps(
        {"fresh": 1, "fresh_chosen": True, "reward": 0.6},
        {"turn": 1, "fresh": 0, "reward": 0.9},
        {"user": 1, "fresh": 2, "reward": 0.5},
        {"policy": "oracle", "fresh": 2, "fresh_chosen": True, "reward": 0.8},
        {"policy": "oracle", "user": 1, "fresh": 4, "fresh_chosen": True, "reward": 0.7},
    )
    assert value("cold_item_exposure", traced(table)) == pytest.approx(3 / 6)
    assert value("cold_item_reward", traced(table)) == pytest.approx(0.6 / 1.5)
    planned = steps(
        {"policy": "oracle-plan", "fresh": 1, "fresh_chosen": True, "reward": 0.9},
        {"policy": "oracle-plan", "user": 1},
    )
    both = traced(pd.concat([table, planned]))
    assert value("cold_item_exposure", both) == pytest.approx(3 / 6)
    assert value("cold_item_reward", both) == pytest.approx(0.6 / 0.9)


@pytest.mark.parametrize("name", ["cold_item_exposure", "cold_item_reward"])
def test_no_score_without_new_items_or_where_episodes_differ(name, steps, traced, value):
    assert value(name, traced(steps({}, {"policy": "oracle"}))) is None
    fresh = steps({"fresh": 1, "fresh_chosen": True}, {"policy": "oracle", "user": 1, "fresh": 1})
    assert value(name, traced(fresh)) is None
    assert value(name, traced(fresh[:1])) is None


def test_the_oracle_scores_1(steps, traced, value):
    rows = [{"user": user, "fresh": 1, "fresh_chosen": True} for user in range(3)]
    table = pd.concat([steps(*rows), steps(*rows, policy="oracle")])
    assert value("cold_item_exposure", traced(table)) == 1
    assert value("cold_item_reward", traced(table)) == 1
