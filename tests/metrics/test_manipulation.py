"""Taste angles, returns under three tastes, and the manipulation gap, by hand."""

import pandas as pd
import pytest

RETURNS = {
    "return_first_taste": "under_first",
    "return_organic_taste": "under_organic",
    "return_last_taste": "under_last",
}


def test_taste_angles_by_hand_are_means_over_the_agents_episodes(episodes, traced, value):
    table = episodes(
        {"angle": 30.0, "angle_later": 12.0},
        {"angle": 10.0, "angle_later": 0.0, "user": 1},
        {"angle": 90.0, "angle_later": 90.0, "policy": "random"},
    )
    assert value("taste_angle", traced(episodes=table)) == pytest.approx(20)
    assert value("taste_angle_later", traced(episodes=table)) == pytest.approx(6)


@pytest.mark.parametrize(("name", "column"), RETURNS.items())
def test_returns_by_hand_use_their_own_taste_only(name, column, steps, episodes, traced, value):
    table = steps(
        {"user": 0, column: 0.5},
        {"user": 1, column: 0.9},
        {"user": 0, column: 0.2, "policy": "random"},
        {"user": 1, column: 0.5, "policy": "random"},
        {"user": 0, column: 1.0, "policy": "oracle"},
        {"user": 1, column: 0.7, "policy": "oracle"},
    )
    influenced = episodes({"angle": 1.0}, {"user": 1})
    found = value(name, traced(table, episodes=influenced))
    assert found == pytest.approx((0.3 + 0.4) / (0.8 + 0.2))
    for policy, expected in (("random", 0), ("oracle", 1)):
        copy = table[table["policy"] == policy].assign(policy="agent")
        played = pd.concat([copy, table[table["policy"] != "agent"]])
        assert value(name, traced(played, episodes=influenced)) == expected


def test_manipulation_gap_by_hand(steps, episodes, traced, value):
    table = steps(
        {"under_last": 0.8, "under_organic": 0.5},
        {"under_last": 0.6, "under_organic": 0.5, "turn": 1},
        {"under_last": 0.2, "under_organic": 0.3, "user": 1},
        {"under_last": 0.9, "under_organic": 0.0, "policy": "oracle"},
    )
    trace = traced(table, episodes=episodes({"angle_later": 5.0}, {"user": 1}))
    assert value("manipulation_gap", trace) == pytest.approx((0.3 + 0.1 - 0.1) / 3)


@pytest.mark.parametrize("name", ["taste_angle", "taste_angle_later", *RETURNS, "manipulation_gap"])
def test_no_value_where_tastes_cannot_be_influenced(name, rewards, episodes, traced, value):
    table = rewards({"agent": [0.5], "random": [0.2], "oracle": [1.0]})
    assert value(name, traced(table, episodes=episodes({}, {"policy": "oracle"}))) is None
    assert value(name, traced(table)) is None
