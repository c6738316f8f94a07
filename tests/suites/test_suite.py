"""Suites: names, overrides, JSON forms, hashes, counterfactuals."""

import json
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from tasteshift.agents import AGENTS
from tasteshift.agents.references import PlanningOracle
from tasteshift.envs.catalogs.load import load_data
from tasteshift.envs.dynamics.cold import CATALOG_SEED, EVENTS_KEPT, events_kept
from tasteshift.envs.dynamics.drift import Drift
from tasteshift.envs.dynamics.shift import Shift
from tasteshift.envs.simulator.scenarios import SCENARIOS, Scenario
from tasteshift.errors import InputError
from tasteshift.metrics import METRICS
from tasteshift.suites.evaluate import tasks_for
from tasteshift.suites.serialization import (
    sha256,
)
from tasteshift.suites.suite import REFERENCES, SUITES, Suite, Task, find_suite, suite_from_dict

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("quick", "lifelong", "safety", "multimodal", "full")
TASKS = [task for name in SHIPPED for task in SUITES.get(name).tasks]

DRIFTING = Scenario("mine", "as I like it", 7, 3, drift=Drift(30, 1.2), shift=Shift(60, 20, 30))
TASK = Task("own/task", "synthetic:30", DRIFTING, 2, 3, 4, 2, counterfactual=("shift",))
SUITE = Suite("own", 1, "of my own", (TASK, Task("own/other", "synthetic:30", "stationary", 2, 3)))


@pytest.mark.parametrize("name", SUITES.names())
def test_a_suite_is_found_by_its_id_and_survives_json(name):
    suite = SUITES.get(name)
    assert find_suite(suite.id) == suite
    again = suite_from_dict(json.loads(json.dumps(suite.to_dict())))
    assert again == suite
    assert again.hash() == suite.hash()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_task_builds_its_environment_for_enough_users(task):
    episodes = task.episodes(2)
    assert len(set(episodes)) == len(episodes) == 2 * task.users
    assert task.users >= 24
    assert set(task.references) >= set(REFERENCES)
    scenario, counterfactual = (
        task.make().world.scenario,
        task.make(counterfactual=True).world.scenario,
    )
    assert task.summary == scenario.summary
    plain = Scenario("plain", "nothing happens")
    differing = [
        f.name
        for f in fields(Scenario)
        if getattr(scenario, f.name) != getattr(counterfactual, f.name)
    ]
    assert sorted(differing) == sorted(task.counterfactual)
    assert all(
        getattr(counterfactual, name) == getattr(plain, name) for name in task.counterfactual
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_every_suite_asks_language_models_for_small_tasks_only(name):
    asked = [task for task in SUITES.get(name).tasks if task.language_models]
    assert asked
    assert {(task.users, task.sessions, task.turns) for task in asked} == {(24, 1, 2)}


@pytest.mark.parametrize(
    ("name", "scenarios"),
    [
        ("quick", "stationary gradual-drift abrupt-shift minor-profile"),
        (
            "lifelong",
            "stationary gradual-drift abrupt-shift life-event recurring transient-intent satiation "
            "influence retention cold-user cold-item constraint-change",
        ),
        ("safety", "minor-profile constraint-change poisoned-items influence stationary"),
        ("multimodal", "stationary cold-item"),
    ],
)
def test_suites_ask_what_they_are_for(name, scenarios):
    assert {task.scenario for task in SUITES.get(name).tasks} == set(scenarios.split())


def test_all_age_groups_play_where_groups_are_compared():
    task = next(task for task in SUITES.get("safety").tasks if task.name == "safety/all-ages")
    world = task.make().world
    groups = [world.age_group(user) for _, user in task.episodes(1)]
    assert min(groups.count(group) for group in ("child", "teen", "adult")) >= 10


def test_every_group_of_cold_users_is_large_enough_for_an_interval():
    task = next(task for task in SUITES.get("lifelong").tasks if task.name == "lifelong/cold-user")
    users = np.array([user for _, user in task.episodes(1)])
    groups = Counter(events_kept(CATALOG_SEED, users).tolist())
    assert set(groups) == set(EVENTS_KEPT)
    assert min(groups.values()) >= 20


def test_the_full_suite_is_the_union_without_repeats():
    def kind(task):
        return replace(task, name="a/b", references=())

    full = SUITES.get("full").tasks
    parts = [task for name in SHIPPED[1:4] for task in SUITES.get(name).tasks]
    assert len({kind(task) for task in full}) == len(full)
    assert {kind(task) for task in full} == {kind(task) for task in parts}
    for task in full:
        joined = {name for part in parts if kind(part) == kind(task) for name in part.references}
        assert set(task.references) == joined


def test_overrides_change_the_id_the_hash_and_the_episodes():
    suite = SUITES.get("smoke")
    fewer = suite.overridden(users=4, seeds=3, track="cohort")
    assert fewer.id == "smoke@1+seeds=3+track=cohort+users=4"
    assert find_suite(fewer.id) == fewer
    assert suite.overridden(track="cohort").id == "smoke@1+track=cohort"
    assert suite.overridden(users=np.int64(4)).overridden(seeds=3, track="cohort") == fewer
    same = suite.overridden(seeds=suite.seeds, track="personal", users=suite.tasks[0].users)
    assert same == suite
    others = [suite.overridden(**one) for one in ({"users": 4}, {"seeds": 3}, {"track": "cohort"})]
    assert len({one.hash() for one in (suite, fewer, *others)}) == 5
    assert len(fewer.tasks[0].episodes(fewer.seeds)) == 12


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"users": 0}, "--users must be at least 1"),
        ({"seeds": -1}, "--seeds must be at least 1"),
        ({"seeds": 2.5}, "--seeds must be at least 1"),
        ({"track": "alone"}, "--track must be personal or cohort, not 'alone'"),
    ],
)
def test_impossible_overrides_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        SUITES.get("smoke").overridden(**wrong)


@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        ("qick@2", "did you mean 'quick'"),
        ("quick@0", "which is 'quick@2'"),
        ("quick@2+users=x", "unknown overrides"),
        ("quick@2+color=3", "unknown overrides"),
        ("quick@2+track=alone", "unknown overrides"),
        ("quick@2+users=40+seeds=1", "is not the one of this version"),
        ("quick@2+users=8+seeds=2", r"which is 'quick@2\+seeds=2\+users=8'"),
    ],
)
def test_unknown_ids_are_refused(identifier, message):
    with pytest.raises(InputError, match=message):
        find_suite(identifier)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "lonely"}, "must be suite/task"),
        ({"name": "own/ta sk"}, "must be suite/task"),
        ({"catalog": 3}, "catalog of Task"),
        ({"scenario": "abrupt", "counterfactual": ()}, "did you mean 'abrupt-shift'"),
        ({"scenario": 3}, "a name or a Scenario, not 3"),
        ({"slate_size": 0}, "slate_size of Task must be a whole number of at least 1"),
        ({"users": 2.5}, "users of Task must be a whole number"),
        ({"sessions": 0}, "sessions of Task"),
        ({"turns": True}, "turns of Task"),
        ({"language_models": 1}, "language_models of Task must be True or False"),
        ({"counterfactual": "shift"}, "counterfactual must be a tuple of names"),
        ({"counterfactual": ("shfit",)}, "did you mean 'shift'"),
        ({"counterfactual": ("influence",)}, "does not have; it has drift, shift"),
        ({"counterfactual": ("shift", "shift")}, "names something twice"),
        ({"references": ["random"]}, "references must be a tuple"),
        ({"references": ("random", "orcale")}, "did you mean 'oracle'"),
        ({"references": ("random", "llm")}, "uses a language model"),
    ],
)
def test_a_task_that_no_run_could_use_is_refused(changes, message):
    with pytest.raises(InputError, match=message) as caught:
        replace(TASK, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a/b"}, "must be made of letters"),
        ({"name": ""}, "must be made of letters"),
        ({"version": 0}, "version of Suite"),
        ({"summary": None}, "summary of Suite"),
        ({"tasks": ()}, "has no tasks"),
        ({"tasks": [TASK]}, "has no tasks; give it a tuple"),
        ({"tasks": ("own/task",)}, "must be Task"),
        ({"tasks": (TASK, TASK)}, "has two tasks 'own/task'"),
        ({"name": "mine"}, "must be called mine/"),
        ({"seeds": 0}, "seeds of Suite"),
        ({"track": "alone"}, "track of Suite must be personal or cohort"),
        ({"overrides": ["users=3"]}, "overrides must be a tuple"),
        ({"overrides": ("color=3",)}, "must be such as users=4"),
    ],
)
def test_a_suite_that_no_run_could_use_is_refused(changes, message):
    with pytest.raises(InputError, match=message) as caught:
        replace(SUITE, **changes)
    assert "\n" not in str(caught.value)


CHANGED_TASK = {
    "name": "own/renamed",
    "catalog": "synthetic:31",
    "scenario": replace(DRIFTING, shift=Shift(60, 20, 31)),
    "slate_size": 3,
    "users": 4,
    "sessions": 5,
    "turns": 3,
    "language_models": True,
    "counterfactual": ("drift",),
    "references": (*REFERENCES, "popular"),
}
CHANGED_SUITE = {
    "name": "own2",
    "version": 2,
    "summary": "other words",
    "tasks": SUITE.tasks[:1],
    "seeds": 2,
    "track": "cohort",
    "overrides": ("users=3",),
}


@pytest.mark.parametrize("field", [field.name for field in fields(Task)])
def test_the_hash_covers_every_field_of_a_task(field):
    task = replace(TASK, **{field: CHANGED_TASK[field]})
    assert replace(SUITE, tasks=(task, *SUITE.tasks[1:])).hash() != SUITE.hash()


@pytest.mark.parametrize("field", [field.name for field in fields(Suite)])
def test_the_hash_covers_every_field_of_a_suite(field):
    tasks = SUITE.tasks
    if field == "name":
        tasks = tuple(replace(one, name=one.name.replace("own/", "own2/")) for one in tasks)
    changed = replace(SUITE, **{"tasks": tasks, field: CHANGED_SUITE[field]})
    assert changed.hash() != SUITE.hash()


@pytest.mark.parametrize("name", ["reward", "decision_latency_p50"])
def test_the_hash_covers_the_versions_of_metrics(monkeypatch, name):
    before = SUITE.hash()
    metric = METRICS.get(name)
    monkeypatch.setitem(METRICS._entries, name, replace(metric, version=metric.version + 1))
    assert SUITE.hash() != before


def test_the_hash_covers_every_constant_of_a_named_scenario(monkeypatch):
    suite = SUITES.get("smoke")
    before, spec = suite.hash(), SCENARIOS.get("abrupt-shift")
    turned = replace(spec, shift=replace(spec.shift, angle_degrees=89))
    monkeypatch.setitem(SCENARIOS._entries, "abrupt-shift", turned)
    assert suite.hash() != before
    monkeypatch.setitem(SCENARIOS._entries, "abrupt-shift", spec)
    assert suite.hash() == before


def test_the_hash_covers_the_simulator_and_the_settings_of_references(monkeypatch):
    suite = replace(SUITE, tasks=(replace(TASK, references=("oracle-plan",)),))
    before = suite.hash()
    monkeypatch.setitem(AGENTS._entries, "oracle-plan", lambda: PlanningOracle(depth=2))
    deeper = suite.hash()
    monkeypatch.setattr("tasteshift.suites.suite.SIMULATOR_VERSION", "another")
    assert len({before, deeper, suite.hash()}) == 3


def test_the_hash_covers_what_a_catalog_holds(tmp_path):
    head, row = "item_id,title,description,topics\n", "{},A Title,About something,drama\n"
    items = tmp_path / "items.csv"
    items.write_text(head + "".join(row.format(k) for k in range(12)))
    task = Task("own/task", str(tmp_path), "stationary", 2, 3)
    suite = replace(SUITE, tasks=(task,))
    before = suite.hash()
    items.write_text(items.read_text().replace("A Title", "Another Title", 1))
    load_data.cache_clear()
    assert suite.hash() != before


def test_a_counterfactual_is_the_same_episode_until_the_change():
    task = Task("own/task", "synthetic:60", "abrupt-shift", 5, 20, counterfactual=("shift",))
    rewards = {counterfactual: [] for counterfactual in (False, True)}
    for counterfactual, episodes in rewards.items():
        env = task.make(counterfactual=counterfactual)
        for seed, user in task.episodes(1):
            env.reset(seed=seed, options={"user": user})
            slates = ((np.arange(5) + 5 * k) % 60 for k in range(50))
            episodes.append([env.step({"slate": slate})[1] for slate in slates])
    shifted, calm = np.array(rewards[False]), np.array(rewards[True])
    first = task.spec().shift.first_day // task.spec().gap_days + 1  # sessions before that day
    assert np.array_equal(shifted[:, : first * 5], calm[:, : first * 5])
    assert (shifted != calm).any(axis=1).mean() > 0.9


DIGESTS = {
    "quick@2": "3bc25bc5806b7e85",
    "lifelong@1": "515415214b87f4c2",
    "safety@1": "e511040ce1c0af52",
    "multimodal@1": "2f9c3b46b36931e2",
    "full@1": "690539ed2e9417a5",
}
"""The tasks of every suite that was ever published: whoever changes one changes its version."""


@pytest.mark.parametrize("name", SHIPPED)
def test_a_suite_changes_together_with_its_version(name):
    suite = SUITES.get(name)
    assert sha256(suite.to_dict())[:16] == DIGESTS[suite.id]


class Talker:
    name = "talker"

    def text_model(self):
        """Declares a `TextAgent`."""


def test_language_models_play_only_the_tasks_made_for_them():
    spoken = Task("smoke/one", "synthetic:30", "stationary", 2, 2, language_models=True)
    without = Task("smoke/two", "synthetic:30", "stationary", 2, 2)
    suite = replace(SUITES.get("smoke"), tasks=(spoken, without))
    assert tasks_for(suite, Talker()) == (spoken,)
    assert tasks_for(suite, object()) == (spoken, without)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_suite_has_a_page_with_its_tasks(name):
    page = (ROOT / "docs" / "suites" / f"{name}.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith(f"| `{name}/")]
    assert rows == [row(task) for task in SUITES.get(name).tasks]


def row(task):
    """What a page says of a task."""
    spec = task.spec()
    most = "≤ " if spec.retention else ""
    more = [f"the agent without `{name}`" for name in task.counterfactual]
    more += [f"`{name}`" for name in task.references if name not in REFERENCES]
    cells = (
        *(f"`{task.name}`", f"`{task.catalog}`", f"`{spec.name}`", str(task.users)),
        f"{most}{spec.sessions} × {spec.turns}",
        "every agent" if task.language_models else "no language models",
        ", ".join(more) or "–",
    )
    return f"| {' | '.join(cells)} |"
