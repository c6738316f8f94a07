"""Who stays, and what a life is worth, by hand."""

import pytest


def test_retention_by_hand_counts_the_agents_lives(episodes, traced, value):
    lives = episodes({"churned": True}, {"user": 1}, {"user": 2}, {"user": 3}, {"policy": "random"})
    assert value("retention", traced(episodes=lives)) == pytest.approx(3 / 4)


def test_where_a_companion_loses_users_and_the_agent_none_retention_is_1(episodes, traced, value):
    lives = episodes({}, {"policy": "random", "churned": True})
    assert value("retention", traced(episodes=lives)) == 1


def test_where_nobody_can_leave_there_is_no_retention(episodes, traced, value):
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


def test_lifetime_value_only_where_it_is_not_the_reward_again(steps, episodes, traced, value):
    table = steps({"reward": 0.5}, {"reward": 0.7, "user": 1})
    assert value("lifetime_value", traced(table)) is None
    assert value("lifetime_value", traced(table, episodes=episodes({}, {"user": 1}))) is None
    gone = episodes({}, {"user": 1, "churned": True})
    assert value("lifetime_value", traced(table, episodes=gone)) == pytest.approx(0.6)
