"""Retention and lifetime value by hand."""

import pytest


def test_retention_by_hand_counts_the_agents_episodes(episodes, traced, value):
    table = episodes({"churned": True}, {"user": 1}, {"user": 2}, {"user": 3}, {"policy": "random"})
    assert value("retention", traced(episodes=table)) == pytest.approx(3 / 4)


def test_retention_is_1_where_only_a_reference_policy_loses_users(episodes, traced, value):
    table = episodes({}, {"policy": "random", "churned": True})
    assert value("retention", traced(episodes=table)) == 1


def test_no_retention_where_no_user_churns(episodes, traced, value):
    assert value("retention", traced(episodes=episodes({}, {"policy": "random"}))) is None
    assert value("retention", traced()) is None


def test_lifetime_value_by_hand(steps, traced, value):
    table = steps(
        {"reward": 0.5},
        {"reward": 0.7, "turn": 1},
        {"reward": 0.4, "user": 1},
        {"reward": 1.0, "policy": "random"},
    )
    assert value("lifetime_value", traced(table)) == pytest.approx((1.2 + 0.4) / 2)


def test_lifetime_value_needs_churn_or_episodes_of_different_length(steps, episodes, traced, value):
    table = steps({"reward": 0.5}, {"reward": 0.7, "user": 1})
    assert value("lifetime_value", traced(table)) is None
    assert value("lifetime_value", traced(table, episodes=episodes({}, {"user": 1}))) is None
    gone = episodes({}, {"user": 1, "churned": True})
    assert value("lifetime_value", traced(table, episodes=gone)) == pytest.approx(0.6)
