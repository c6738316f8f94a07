"""Return, reward and regret by hand, and properties of the normalized return."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasteshift.metrics import METRICS
from tasteshift.metrics.personalization import return_between


def test_the_seeds_of_a_user_are_one_cluster(traced, rewards):
    table = pd.concat(
        rewards({"agent": agent, "random": [0.0, 0.0], "oracle": [1.0, 1.0]}).assign(seed=seed)
        for seed, agent in enumerate(([0.5, 0.9], [0.1, 0.1]))
    )
    found = METRICS.get("normalized_return").estimate(traced(table))
    assert found.value == pytest.approx(1.6 / 4)
    assert found.n == 2


def test_normalized_return_by_hand(traced, rewards):
    table = rewards({"agent": [0.5, 0.9], "random": [0.2, 0.5], "oracle": [1.0, 0.7]})
    found = METRICS.get("normalized_return").estimate(traced(table))
    assert found.value == pytest.approx((0.3 + 0.4) / (0.8 + 0.2))
    assert (found.low, found.high, found.n) == (None, None, 2)


def test_no_return_without_reference_policies_or_headroom(traced, value, rewards):
    alone = rewards({"agent": [0.5], "random": [0.2]})
    assert value("normalized_return", traced(alone)) is None
    other = rewards({"agent": [0.5], "random": [0.2], "oracle": [0.9, 0.9]})
    assert value("normalized_return", traced(other)) is None
    upside_down = rewards({"agent": [0.5], "random": [0.9], "oracle": [0.2]})
    assert value("normalized_return", traced(upside_down)) is None


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 0.5), st.floats(0.01, 0.5)),
        min_size=1,
        max_size=30,
    )
)
def test_random_is_0_and_oracle_is_1(traced, value, rewards, users):
    agent, floor, headroom = (list(column) for column in zip(*users, strict=True))
    top = [low + gap for low, gap in zip(floor, headroom, strict=True)]
    table = rewards({"agent": agent, "random": floor, "oracle": top})
    trace = traced(table)
    assert return_between(trace, "random").value == 0
    assert return_between(trace, "oracle").value == 1
    as_random = traced(rewards({"agent": floor, "random": floor, "oracle": top}))
    as_oracle = traced(rewards({"agent": top, "random": floor, "oracle": top}))
    assert value("normalized_return", as_random) == 0
    assert value("normalized_return", as_oracle) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 0.5), min_size=2, max_size=9), st.floats(0.01, 0.5), st.data())
def test_more_reward_never_lowers_the_return(traced, value, rewards, agent, extra, data):
    user = data.draw(st.integers(0, len(agent) - 1))
    better = [r + extra * (u == user) for u, r in enumerate(agent)]
    bounds = {"random": [0.1] * len(agent), "oracle": [0.8] * len(agent)}
    before = value("normalized_return", traced(rewards({"agent": agent, **bounds})))
    after = value("normalized_return", traced(rewards({"agent": better, **bounds})))
    assert after > before


def test_reward_and_regret_by_hand_use_the_agent_only(steps, traced, value):
    table = steps(
        {"reward": 0.9, "expected": 0.5, "best": 0.7},
        {"reward": 0.0, "expected": 0.2, "best": 0.7, "turn": 1},
        {"reward": 0.3, "expected": 0.6, "best": 0.6, "user": 1},
        {"reward": 1.0, "expected": 0.0, "best": 1.0, "policy": "random"},
    )
    assert value("reward", traced(table)) == pytest.approx(1.2 / 3)
    assert value("regret", traced(table)) == pytest.approx((0.2 + 0.5 + 0.0) / 3)


def test_each_task_has_its_own_ceiling_and_influenced_tasks_are_left_out(
    rewards, episodes, traced, value
):
    """Three tasks: with an oracle, with a better oracle that plans, and with influenced tastes."""
    plain = rewards({"agent": [0.5], "random": [0.1], "oracle": [0.9]}, task="a/plain")
    ahead = {"agent": [0.5], "random": [0.1], "oracle": [0.6], "oracle-plan": [0.7]}
    planned, influenced = rewards(ahead, task="a/planned"), rewards(ahead, task="a/influenced")
    ends = episodes(
        {"task": "a/plain"}, {"task": "a/planned"}, {"task": "a/influenced", "angle": 2.0}
    )
    ends.loc[:1, ["angle", "angle_later"]] = 0.0
    trace = traced(pd.concat([plain, planned, influenced]), episodes=ends)
    assert value("normalized_return", trace) == pytest.approx((0.4 + 0.4) / (0.8 + 0.6))
    assert value("normalized_return", trace.of_task("a/planned")) == pytest.approx(0.4 / 0.6)
    assert value("normalized_return", trace.of_task("a/influenced")) is None
