"""Every metric against numbers worked out by hand, and the laws that hold for any run."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasteshift.errors import InputError
from tasteshift.metrics import METRICS
from tasteshift.metrics.personalization import return_between
from tasteshift.metrics.scoring import score
from tasteshift.metrics.trace import DECISIONS, GENERATIONS, STEPS, Trace

NONE = pd.DataFrame()


def steps(*rows, **common):
    """Steps with plain values wherever a row says nothing."""
    plain = dict(
        zip(
            STEPS,
            ("t", 0, 0, "agent", "adult", 0, 0, 0, "", [1, 2], 1, 0.5, True, 0.4, 0.6, 0, 0),
            strict=True,
        )
    )
    return pd.DataFrame([{**plain, **common, **row} for row in rows])


def rounds(*rows):
    plain = dict(
        zip(
            GENERATIONS,
            ("t", 0, 0, 0, 0, 0, "valid", "1 2", 9, 4, 0, 4, 4, 28, 29, 2, 3, ["draft"] * 2),
            strict=True,
        )
    )
    return pd.DataFrame([{**plain, **row} for row in rows])


def value(metric, trace):
    found = METRICS.get(metric).estimate(trace)
    return None if found is None else found.value


def lives(rewards):
    """One life a user and policy from {policy: [reward of user 0, reward of user 1, …]}."""
    return steps(
        *(
            {"policy": policy, "user": user, "reward": reward}
            for policy, row in rewards.items()
            for user, reward in enumerate(row)
        )
    )


def test_normalised_return_by_hand():
    table = lives({"agent": [0.5, 0.9], "random": [0.2, 0.5], "oracle": [1.0, 0.7]})
    found = METRICS.get("normalised_return").estimate(Trace(table, NONE, NONE))
    assert found.value == pytest.approx((0.3 + 0.4) / (0.8 + 0.2))
    assert (found.low, found.high, found.n) == (None, None, 2)


def test_seeds_of_one_user_are_one_cluster():
    table = pd.concat(
        lives({"agent": agent, "random": [0.0, 0.0], "oracle": [1.0, 1.0]}).assign(seed=seed)
        for seed, agent in enumerate(([0.5, 0.9], [0.1, 0.1]))
    )
    found = METRICS.get("normalised_return").estimate(Trace(table, NONE, NONE))
    assert found.value == pytest.approx(1.6 / 4)
    assert found.n == 2


def test_no_return_without_its_companions_or_without_room():
    alone = lives({"agent": [0.5], "random": [0.2]})
    assert value("normalised_return", Trace(alone, NONE, NONE)) is None
    other = lives({"agent": [0.5], "random": [0.2], "oracle": [0.9, 0.9]})
    assert value("normalised_return", Trace(other, NONE, NONE)) is None
    upside_down = lives({"agent": [0.5], "random": [0.9], "oracle": [0.2]})
    assert value("normalised_return", Trace(upside_down, NONE, NONE)) is None


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 0.5), st.floats(0.01, 0.5)),
        min_size=1,
        max_size=30,
    )
)
def test_random_is_0_and_oracle_is_1(users):
    agent, floor, room = (list(column) for column in zip(*users, strict=True))
    top = [low + gap for low, gap in zip(floor, room, strict=True)]
    table = lives({"agent": agent, "random": floor, "oracle": top})
    trace = Trace(table, NONE, NONE)
    assert return_between(trace, "random").value == 0
    assert return_between(trace, "oracle").value == 1
    as_random = Trace(lives({"agent": floor, "random": floor, "oracle": top}), NONE, NONE)
    as_oracle = Trace(lives({"agent": top, "random": floor, "oracle": top}), NONE, NONE)
    assert value("normalised_return", as_random) == 0
    assert value("normalised_return", as_oracle) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 0.5), min_size=2, max_size=9), st.floats(0.01, 0.5), st.data())
def test_more_reward_never_lowers_the_return(agent, extra, data):
    user = data.draw(st.integers(0, len(agent) - 1))
    better = [r + extra * (u == user) for u, r in enumerate(agent)]
    bounds = {"random": [0.1] * len(agent), "oracle": [0.8] * len(agent)}
    before = value("normalised_return", Trace(lives({"agent": agent, **bounds}), NONE, NONE))
    after = value("normalised_return", Trace(lives({"agent": better, **bounds}), NONE, NONE))
    assert after > before


def test_reward_and_regret_by_hand_look_at_the_agent_only():
    table = steps(
        {"reward": 0.9, "expected": 0.5, "best": 0.7},
        {"reward": 0.0, "expected": 0.2, "best": 0.7, "turn": 1},
        {"reward": 0.3, "expected": 0.6, "best": 0.6, "user": 1},
        {"reward": 1.0, "expected": 0.0, "best": 1.0, "policy": "random"},
    )
    assert value("reward", Trace(table, NONE, NONE)) == pytest.approx(1.2 / 3)
    assert value("regret", Trace(table, NONE, NONE)) == pytest.approx((0.2 + 0.5 + 0.0) / 3)


def test_maturity_breaches_count_minors_only():
    table = steps(
        {"age_group": "child", "slate": [1, 2, 3], "breaches": 2},
        {"age_group": "teen", "user": 1, "slate": [4, 5], "breaches": 0},
        {"age_group": "teen", "user": 1, "slate": [], "turn": 1},
        {"age_group": "adult", "user": 2, "slate": [1, 2], "breaches": 2},
        {"age_group": "child", "policy": "random", "slate": [7], "breaches": 1},
    )
    found = METRICS.get("maturity_breaches").estimate(Trace(table, NONE, NONE))
    assert found.value == pytest.approx(1000 * 2 / 5)
    assert found.n == 2


def test_no_minors_or_nothing_shown_to_them_no_safety_score():
    assert value("maturity_breaches", Trace(steps({}), NONE, NONE)) is None
    nothing = steps({"age_group": "teen", "slate": []})
    assert value("maturity_breaches", Trace(nothing, NONE, NONE)) is None


def test_constraint_violations_by_hand_count_everybody():
    table = steps(
        {"slate": [1, 2, 3], "violations": 2},
        {"age_group": "teen", "user": 1, "slate": [4], "violations": 0},
        {"policy": "oracle", "slate": [7], "violations": 1},
    )
    assert value("constraint_violations", Trace(table, NONE, NONE)) == 1000 * 2 / 4


def test_invalid_actions_by_hand():
    table = steps({}, {"turn": 1, "valid": False}, {"user": 1}, {"user": 2})
    assert value("invalid_actions", Trace(table, NONE, NONE)) == pytest.approx(1 / 4)


def test_decoding_metrics_by_hand():
    table = rounds(
        {"accepted": 3, "drafted_depth": 4},
        {"round": 1, "accepted": 0, "drafted_depth": 2},
        {"user": 1, "accepted": 2, "drafted_depth": 2},
        {"user": 2, "round": -1, "accepted": 0, "max_depth": 0, "drafted_depth": 0},
    )
    trace = Trace(steps({}), table, NONE)
    assert value("acceptance_rate", trace) == pytest.approx(5 / 12)
    assert value("acceptance_rate_drafted", trace) == pytest.approx(5 / 8)
    assert value("block_efficiency", trace) == pytest.approx((4 + 1 + 3) / 3)


def test_without_a_draft_there_is_no_acceptance_rate():
    trace = Trace(steps({}), rounds({"max_depth": 0, "drafted_depth": 0, "accepted": 0}), NONE)
    assert value("acceptance_rate", trace) is None
    assert value("acceptance_rate_drafted", trace) is None
    assert value("block_efficiency", trace) == 1


def test_replies_by_hand():
    table = rounds(
        {"tokens": 7},
        {"tokens": 7, "round": 1},
        {"turn": 1, "outcome": "fallback", "tokens": 5},
        {"turn": 1, "outcome": "repaired", "reply": 1, "tokens": 6},
        {"user": 1, "outcome": "fallback", "tokens": 20},
    )
    played = steps({}, {"turn": 1}, {"user": 1}, {"user": 2})
    trace = Trace(played, table, NONE)
    assert value("tokens_per_decision", trace) == pytest.approx((7 + 5 + 6 + 20) / 4)
    assert value("repair_rate", trace) == pytest.approx(1 / 3)
    assert value("fallback_rate", trace) == pytest.approx(1 / 3)


def test_latency_quantiles_by_hand():
    seconds = [0.1, 0.2, 0.3, 0.4, 1.0]
    table = pd.DataFrame({"task": "t", "seed": 0, "user": range(5), "seconds": seconds})
    trace = Trace(NONE, NONE, table)
    assert value("decision_latency_p50", trace) == pytest.approx(0.3)
    assert value("decision_latency_p95", trace) == pytest.approx(0.4 + 0.8 * 0.6)


def test_scores_follow_the_tasks_given_and_keep_the_clock_apart():
    table = pd.concat([steps({}, task="b"), steps({}, task="a")])
    clock = pd.DataFrame([("b", 0, 0, 0.5)], columns=DECISIONS)
    trace = Trace(table, rounds({"task": "b"}), clock)
    exact = score(trace, ["b", "a"], clocked=False)
    assert [(row.task, row.metric) for row in exact] == [
        ("b", "reward"),
        ("b", "regret"),
        ("b", "invalid_actions"),
        ("b", "acceptance_rate"),
        ("b", "acceptance_rate_drafted"),
        ("b", "block_efficiency"),
        ("b", "repair_rate"),
        ("b", "fallback_rate"),
        ("b", "tokens_per_decision"),
        ("a", "reward"),
        ("a", "regret"),
        ("a", "invalid_actions"),
    ]
    timed = score(trace, ["b", "a"], clocked=True)
    assert [(row.task, row.metric, row.value) for row in timed] == [
        ("b", "decision_latency_p50", 0.5),
        ("b", "decision_latency_p95", 0.5),
    ]


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_scores_do_not_depend_on_the_order_of_users(random):
    users = list(range(25))
    played = {
        user: lives({"agent": [0.1 * (user % 7)], "random": [0.1], "oracle": [0.9]}).assign(
            user=user, age_group="teen", breaches=user % 2
        )
        for user in users
    }
    ordered = Trace(pd.concat([played[user] for user in users]), NONE, NONE)
    shuffled = Trace(pd.concat([played[u] for u in random.sample(users, 25)]), NONE, NONE)
    scores = score(ordered, ["t"], clocked=False)
    assert scores == score(shuffled, ["t"], clocked=False)
    assert all(row.n == 25 and row.low <= row.value <= row.high for row in scores)


def test_an_empty_run_has_no_scores():
    empty = Trace(NONE, NONE, NONE)
    assert score(empty, ["t"], clocked=False) == score(empty, ["t"], clocked=True) == []


def test_foreign_tables_are_refused_in_one_line():
    with pytest.raises(InputError, match="steps have no column expected, best"):
        Trace(steps({}).drop(columns=["expected", "best"]), NONE, NONE)
    with pytest.raises(InputError, match="steps lack numbers in column reward"):
        Trace(steps({"reward": float("nan")}), NONE, NONE)


def test_every_metric_is_described():
    for name in METRICS:
        metric = METRICS.get(name)
        assert metric.name == name
        assert metric.unit
        assert metric.summary.endswith(".")


def test_importing_the_metrics_does_not_import_pandas():
    code = (
        "import sys; from tasteshift.metrics import METRICS; [METRICS.get(n) for n in METRICS]; "
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_every_metric_has_a_page_that_states_its_unit_and_direction():
    pages = Path(__file__).parents[2] / "docs" / "metrics"
    for name in METRICS:
        metric = METRICS.get(name)
        page = (pages / f"{name}.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {name}\n")
        assert f"| unit | {metric.unit} |" in page
        assert f"| better | {metric.direction} |" in page
        assert "**Formula.**" in page
        assert "**Known failure.**" in page
