"""Curves are means within a session, with users as clusters."""

import numpy as np
import pandas as pd
import pytest

from tasteshift.metrics.curves import axis_of, reward_curve
from tasteshift.metrics.statistics import ratio_interval
from tasteshift.metrics.trace import STEPS, Trace

NONE = pd.DataFrame()


def recorded(users, sessions, turns):
    """A life for each user whose rewards are drawn once and for all."""
    rng = np.random.default_rng(2)
    rows = [
        ("t", 0, user, "agent", "adult", s, t, s, "", [1], 1, rng.random(), True, 0.5, 0.5, 0, 0)
        for user in range(users)
        for s in range(sessions)
        for t in range(turns)
    ]
    return pd.DataFrame(rows, columns=STEPS)


def test_points_are_the_means_of_their_session():
    table = recorded(users=25, sessions=3, turns=4)
    points = reward_curve(Trace(table, NONE, NONE), "agent", "session")
    assert [point.at for point in points] == [0, 1, 2]
    rewards = table["reward"].to_numpy().reshape(25, 3, 4)
    for point in points:
        within = rewards[:, point.at]
        assert point.reward.value == pytest.approx(within.mean())
        assert point.reward == ratio_interval(within.sum(axis=1), [4] * 25)


def test_a_single_session_runs_over_turns():
    short = Trace(recorded(users=2, sessions=1, turns=3), NONE, NONE)
    long = Trace(recorded(users=2, sessions=2, turns=3), NONE, NONE)
    assert (axis_of(short), axis_of(long), axis_of(Trace(NONE, NONE, NONE))) == (
        "turn",
        "session",
        "turn",
    )
    assert [point.at for point in reward_curve(short, "agent", "turn")] == [0, 1, 2]


def test_who_did_not_live_has_no_curve():
    assert reward_curve(Trace(recorded(2, 2, 2), NONE, NONE), "oracle", "session") == []
    assert reward_curve(Trace(NONE, NONE, NONE), "agent", "session") == []
