"""Properties of every metric: independence of order, clusters, and a page that matches the code."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasteshift.metrics import METRICS
from tasteshift.metrics.scoring import score

COUNTED = ("breaches", "violations", "stale", "fresh", "tampered", "sponsored", "false_claims")
ONLY_WITH_AN_INTERVAL = ("adaptation_half_life",)
OVER_USERS = ("worst_group_gap",)


def test_scores_keep_the_order_of_tasks_and_separate_clocked_metrics(
    steps, rounds, decisions, traced
):
    table = pd.concat([steps({}, task="b"), steps({}, task="a")])
    trace = traced(table, rounds({"task": "b"}), decisions({"task": "b", "seconds": 0.5}))
    untimed = score(trace, ["b", "a"], timed=False)
    rank = [(["b", "a"].index(row.task), METRICS.names().index(row.metric)) for row in untimed]
    assert rank == sorted(set(rank))
    assert {row.task for row in untimed if row.metric == "reward"} == {"a", "b"}
    assert {row.task for row in untimed if row.metric == "mean_acceptance_length"} == {"b"}
    timed = score(trace, ["b", "a"], timed=True)
    assert {row.task for row in timed} == {"b"}
    assert ("decision_latency_p50", 0.5) in [(row.metric, row.value) for row in timed]
    assert not {row.metric for row in timed} & {row.metric for row in untimed}


USERS, SESSIONS, TURNS, TOPICS = 24, 5, 2, 4
POLICIES = ("agent", "agent-counterfactual", "random", "oracle")
BLIND = ("oracle-text", "oracle-image", "oracle-text-image")


@pytest.fixture(scope="module")
def tables(steps, episodes, rounds, decisions):
    """Steps, rounds, decisions and episodes, random, with some value of every metric."""
    rng = np.random.default_rng(1)
    keys = [(seed, user) for seed in range(2) for user in range(USERS)]
    best = {key: rng.uniform(0.5, 1.0, (SESSIONS, TURNS)) for key in keys}
    regimes = np.array([0, 0, 1, 1, 0])
    turns, ends, rounds_of, timed = [], [], [], []
    for policy in (*POLICIES, *BLIND):
        skill = {"random": 0.1, "oracle": 1.0}.get(policy, 0.5)
        for seed, user in keys:
            group = ("child", "teen", "adult")[user % 3]
            episode = {"policy": policy, "seed": seed, "user": user, "age_group": group}
            angle = rng.uniform(0, 40)
            known = {"events": (0, 1, 3, 10)[user % 4], "churned": bool(rng.random() < 0.2)}
            ends.append({**episode, **known, "angle": angle, "angle_later": angle / 2})
            for session in range(SESSIONS):
                changed = policy != "agent-counterfactual" and bool(regimes[session])
                worse = 0.1 if policy == "agent" and changed else 0.0
                gift = policy != "agent-counterfactual" and bool(rng.random() < 0.3)
                liking = rng.normal(size=TOPICS)
                for turn in range(TURNS):
                    top = best[seed, user][session, turn]
                    quality = top * skill - worse + rng.uniform(0, 0.05) * (policy == "agent")
                    few = {
                        name: int(count)
                        for name, count in zip(COUNTED, rng.integers(0, 3, 7), strict=True)
                    }
                    turns.append(
                        {
                            **episode,
                            **few,
                            **{"session": session, "turn": turn, "day": 7 * session},
                            **{"expected": quality, "best": top, "reward": quality},
                            **{"under_first": quality, "under_organic": quality * 0.8},
                            **{"under_last": quality, "regime": int(changed), "gift": gift},
                            "claims": [{"item": 1, "field": "year", "value": 1999.0}] * 2,
                            "fresh_chosen": bool(rng.random() < 0.5),
                            "disclosed": few["sponsored"] // 2,
                            "fault": "" if rng.random() < 0.8 else "invalid",
                            "slate": [1, 2, 3],
                            "topics": rng.integers(-1, TOPICS, 3).tolist(),
                            "liking": [] if turn else liking.tolist(),
                            "profile": rng.normal(size=TOPICS).tolist(),
                        }
                    )
                    if policy == "agent":
                        at = {"seed": seed, "user": user, "session": session, "turn": turn}
                        wrote = {"tokens": int(rng.integers(9)), "accepted": int(rng.integers(4))}
                        rounds_of.append({**at, **wrote})
                        slow = {"seconds": rng.random(), "first_token_seconds": rng.random()}
                        timed.append({"seed": seed, "user": user, **slow})
    return steps(*turns), rounds(*rounds_of), decisions(*timed), episodes(*ends)


def estimate(name, trace):
    """The metric's estimate; normalized_return needs a task without influence on tastes."""
    if name == "normalized_return" and len(trace.episodes):
        trace = replace(trace, episodes=trace.episodes.assign(angle=0.0, angle_later=0.0))
    return METRICS.get(name).estimate(trace)


@pytest.mark.parametrize("cluster_by", ["user", "seed"])
@pytest.mark.parametrize("name", METRICS.names())
def test_the_order_of_users_changes_no_bit(name, cluster_by, tables, traced):
    found = estimate(name, traced(*tables, cluster_by=cluster_by))
    assert found is not None or (name in ONLY_WITH_AN_INTERVAL and cluster_by == "seed")
    order = np.random.default_rng(2).permutation(USERS)
    shuffled = [
        table.iloc[np.argsort(order[table["user"].to_numpy()], kind="stable")] for table in tables
    ]
    assert not shuffled[0]["user"].equals(tables[0]["user"])
    assert estimate(name, traced(*shuffled, cluster_by=cluster_by)) == found


@pytest.mark.parametrize("name", METRICS.names())
def test_the_value_lies_in_its_interval_and_tables_stay_unchanged(name, tables, traced):
    before = [table.copy(deep=True) for table in tables]
    found = estimate(name, traced(*tables))
    assert found.low is None or found.low <= found.value
    assert found.high is None or found.value <= found.high
    assert found.n <= USERS
    for table, was in zip(tables, before, strict=True):
        pd.testing.assert_frame_equal(table, was)


@pytest.mark.parametrize("name", [n for n in METRICS.names() if n not in OVER_USERS])
def test_a_cohort_is_one_cluster(name, tables, traced):
    users, seeds = (
        estimate(name, traced(*tables, cluster_by=cluster_by)) for cluster_by in ("user", "seed")
    )
    assert seeds is None or (seeds.n == 2 and seeds.low is None and seeds.high is None)
    if name not in ONLY_WITH_AN_INTERVAL:
        assert seeds.value == pytest.approx(users.value)


@pytest.mark.parametrize("name", METRICS.names())
def test_one_episode_or_none_raises_no_error(name, steps, traced):
    assert estimate(name, traced()) is None
    found = estimate(name, traced(steps({})))
    assert found is None or found.n == 1


def test_an_empty_run_has_no_scores(traced):
    empty = traced()
    assert score(empty, ["t"], timed=False) == score(empty, ["t"], timed=True) == []


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


SECTIONS = (
    *("Formula", "Unit and direction", "Sampling unit", "Example", "Known failure", "Source"),
)


def test_every_metric_has_a_page_in_one_form_that_agrees_with_the_code():
    pages = Path(__file__).parents[2] / "docs" / "metrics"
    for name in METRICS:
        metric = METRICS.get(name)
        # metrics that differ by a number share the page without it
        shared = name.rstrip("0123456789_")
        page = next(p for n in (name, shared) if (p := pages / f"{n}.md").exists())
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.stem}\n")
        assert page.stem == shared != name or metric.summary in text, name
        assert tuple(re.findall("^## (.*)$", text, re.MULTILINE)) == SECTIONS
        assert f"| unit | {metric.unit} |" in text
        assert f"| better | {metric.direction} |" in text
