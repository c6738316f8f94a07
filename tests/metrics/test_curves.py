"""Reward curves are means per session or turn, clustered by user."""

import numpy as np
import pytest

from tasteshift.metrics.curves import curve_axis, reward_curve
from tasteshift.metrics.statistics import ratio_interval


@pytest.fixture
def recorded(steps):
    """Steps of one episode per user with rewards from a fixed generator."""

    def of(users, sessions, turns):
        rng = np.random.default_rng(2)
        return steps(
            *(
                {"user": user, "session": s, "turn": t, "day": s, "reward": rng.random()}
                for user in range(users)
                for s in range(sessions)
                for t in range(turns)
            )
        )

    return of


def test_points_are_the_means_of_their_session(recorded, traced):
    table = recorded(users=25, sessions=3, turns=4)
    points = reward_curve(traced(table), "agent", "session")
    assert [point.index for point in points] == [0, 1, 2]
    rewards = table["reward"].to_numpy().reshape(25, 3, 4)
    for point in points:
        within = rewards[:, point.index]
        assert point.reward.value == pytest.approx(within.mean())
        apart = ratio_interval(within.sum(axis=1), [4] * 25)
        ends = [point.reward.low, point.reward.high]
        assert ends == pytest.approx([apart.low, apart.high])


def test_episodes_of_one_session_have_a_curve_over_turns(recorded, traced):
    short = traced(recorded(users=2, sessions=1, turns=3))
    long = traced(recorded(users=2, sessions=2, turns=3))
    assert (curve_axis(short), curve_axis(long), curve_axis(traced())) == (
        "turn",
        "session",
        "turn",
    )
    assert [point.index for point in reward_curve(short, "agent", "turn")] == [0, 1, 2]


def test_a_policy_without_episodes_has_no_curve(recorded, traced):
    assert reward_curve(traced(recorded(2, 2, 2)), "oracle", "session") == []
    assert reward_curve(traced(), "agent", "session") == []
