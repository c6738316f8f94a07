"""Suites from files: what a short one means, and what is said about a wrong one."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

import tasteshift
from tasteshift.cli.listing import listing
from tasteshift.envs.dynamics.satiation import Satiation
from tasteshift.envs.dynamics.shift import Shift
from tasteshift.envs.simulator.scenarios import SCENARIOS, Scenario
from tasteshift.errors import InputError
from tasteshift.suites.evaluate import evaluate, load_run
from tasteshift.suites.run_report import rewrite_report
from tasteshift.suites.suite import REFERENCES, SUITES, Suite, Task, find_suite, suite_from_dict
from tasteshift.suites.suite_files import load_suite

ROOT = Path(__file__).resolve().parents[2]

TINY = """
name: tiny
tasks:
  - {name: still, catalog: 'synthetic:60', scenario: stationary, users: 3, sessions: 2, turns: 2}
  - catalog: synthetic:60
    users: 3
    scenario: {base: abrupt-shift, sessions: 6, turns: 1, shift: {angle_degrees: 60}}
    counterfactual: [shift]
    references: [oracle, popular]
"""


@pytest.fixture
def write(tmp_path):
    def put(text: str, name: str = "my.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return put


@pytest.mark.parametrize("name", SUITES.names())
def test_names_come_before_files(name):
    assert load_suite(name) is SUITES.get(name)


def test_a_short_file_means_a_whole_suite(write):
    turned = replace(
        SCENARIOS.get("abrupt-shift"),
        summary="abrupt-shift with other sessions, turns, shift",
        sessions=6,
        turns=1,
        shift=Shift(60, 29, 42),
    )
    more = (*REFERENCES, "popular")
    assert load_suite(write(TINY)) == Suite(
        name="tiny",
        version=1,
        summary="a custom suite",
        tasks=(
            Task("tiny/still", "synthetic:60", "stationary", 5, 3, 2, 2),
            Task(
                "tiny/abrupt-shift",
                "synthetic:60",
                turned,
                5,
                3,
                counterfactual=("shift",),
                references=more,
            ),
        ),
    )


def test_the_example_is_what_its_comments_say():
    suite = load_suite(ROOT / "examples" / "my_suite.yaml")
    drift, turn, bored = suite.tasks
    assert suite.id == "my-films@1"
    assert drift == Task("my-films/gradual-drift", "movielens-100k", "gradual-drift", 5, 24)
    assert (turn.users, turn.spec().sessions, turn.spec().shift) == (30, 12, Shift(60, 29, 42))
    assert bored.scenario == Scenario(
        name="satiation-and-shift",
        summary="topics satiate, and tastes shift once per episode",
        satiation=Satiation(14, 1.5),
        shift=Shift(90, 29, 42),
    )
    assert bored.references == (*REFERENCES, "oracle-plan")


def test_a_dynamic_of_the_base_can_be_taken_away(write):
    text = "{name: a, tasks: [{scenario: {base: influence, drift: null}, catalog: 'synthetic:60'}]}"
    (task,) = load_suite(write(text)).tasks
    assert task.spec().drift is None
    assert task.spec().influence == SCENARIOS.get("influence").influence


def test_a_document_is_a_suite_file_too(write):
    suite = load_suite(write(TINY))
    assert load_suite(write(json.dumps(suite.to_dict()), "my.json")) == suite


def test_python_says_the_same(write):
    source = """
from tasteshift.suites.suite import Suite, Task

SUITE = Suite("tiny", 3, "from Python", (Task("tiny/one", "synthetic:60", "stationary", 4, 2),))
"""
    suite = load_suite(write(source, "mine.py"))
    assert (suite.id, suite.tasks[0].slate_size) == ("tiny@3", 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "my.yaml must be a mapping with name and tasks"),
        ("- a\n- b", "my.yaml must be a mapping with name and tasks"),
        ("name: [a\n", "my.yaml cannot be read: .* line 2, column 1"),
        ("tasks: [{scenario: stationary}]", "my.yaml: name is missing"),
        ("name: mine", "suite 'mine' has no tasks"),
        ("name: 7\ntasks: []", "my.yaml: suite name 7 must be"),
        ("name: my films\ntasks: []", "my.yaml: suite name 'my films' must be"),
        ("name: quick\ntasks: [{scenario: stationary, users: 2}]", "'quick' is taken by a suite"),
        ("name: a\ntask: []", "my.yaml: unknown key 'task'; did you mean 'tasks'"),
        ("name: a\ntasks: stationary", "my.yaml: tasks must be a list, not str"),
        ("name: a\ntasks: [stationary]", r"my.yaml: tasks\[0\] must be a mapping with a scenario"),
        ("name: a\ntasks: [{name: b}]", r"tasks\[0\]: scenario is missing"),
        ("name: a\ntasks: [{scenari: b}]", r"tasks\[0\]: unknown key 'scenari'; did you mean 'sc"),
        ("name: a\ntasks: [{scenario: drift}]", r"tasks\[0\]: unknown scenario 'drift'; did you"),
        ("name: a\ntasks: [{scenario: {base: turn}}]", r"tasks\[0\].scenario.base: unknown scen"),
        (
            "name: a\ntasks: [{scenario: {base: abrupt-shift, shift: {angel_degrees: 3}}}]",
            r"tasks\[0\].scenario.shift: unknown key 'angel_degrees'; did you mean 'angle_degrees'",
        ),
        (
            "name: a\ntasks: [{scenario: {base: abrupt-shift, shift: {angle_degrees: 300}}}]",
            r"tasks\[0\].scenario.shift: angle_degrees of Shift must be a number of at least 0",
        ),
        (
            "name: a\ntasks: [{scenario: {base: abrupt-shift, shift: 90}}]",
            r"tasks\[0\].scenario: shift of Scenario must be",
        ),
        ("name: a\ntasks: [{scenario: stationary, users: many}]", r"users of Task must be"),
        (
            "name: a\ntasks: [{scenario: stationary, counterfactual: shift}]",
            r"tasks\[0\].counterfactual must be a list",
        ),
        ("name: a\ntasks: [{scenario: stationary, references: [{}]}]", "references must be a tup"),
        (
            "name: a\ntasks: [{scenario: stationary, catalog: movielens}]",
            r"my.yaml: tasks\[0\]: unknown catalog 'movielens'; did you mean 'movielens-100k'",
        ),
        (
            "name: a\ntasks: [{scenario: stationary, catalog: 'synthetic:60', users: 5000}]",
            r"tasks\[0\]: 5000 users asked for",
        ),
        (
            "{name: a, overrides: ['users=3'], tasks: [{scenario: stationary, users: 3}]}",
            "overrides belong on the command line",
        ),
    ],
)
def test_a_wrong_file_gets_one_line_with_its_place(write, text, message):
    with pytest.raises(InputError, match=message) as caught:
        load_suite(write(text))
    assert "\n" not in str(caught.value)
    assert "my.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "must define SUITE"),
        ("SUITE = 3", "must define SUITE"),
        ("import nowhere_at_all", "fails: ModuleNotFoundError"),
        ("from tasteshift.suites.suite import Suite\nSUITE = Suite('a', 1, '', ())", "no tasks"),
    ],
)
def test_a_wrong_python_file_gets_one_line(write, source, message):
    with pytest.raises(InputError, match=message) as caught:
        load_suite(write(source, "mine.py"))
    assert "\n" not in str(caught.value)
    assert "mine.py" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("qick", "unknown suite 'qick'; did you mean 'quick'.*ends in .yaml"),
        ("nowhere.yaml", "nowhere.yaml is not there"),
        ("nowhere.py", "nowhere.py is not there"),
    ],
)
def test_what_is_neither_name_nor_file_is_refused(name, message):
    with pytest.raises(InputError, match=message):
        load_suite(name)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(InputError, match="cannot be read"):
        load_suite(path)


def test_a_suite_must_be_registered_under_its_own_name(monkeypatch):
    monkeypatch.setitem(SUITES._entries, "alias", SUITES.get("smoke"))
    with pytest.raises(InputError, match="'alias' calls itself 'smoke'"):
        load_suite("alias")


GUIDE = (ROOT / "docs" / "suites" / "your-own.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_the_guide_says_the_same_in_yaml_and_in_python(write):
    (short,), (source,) = blocks("yaml"), blocks("python")
    in_yaml, in_python = load_suite(write(short)), load_suite(write(source, "mine.py"))

    def values(suite):
        return [replace(task, scenario=replace(task.spec(), summary="")) for task in suite.tasks]

    assert values(in_yaml) == values(in_python)
    assert (in_yaml.id, in_yaml.summary) == (in_python.id, in_python.summary)


def test_the_guide_quotes_the_error_that_comes(write):
    text = blocks("yaml")[0].replace("{angle_degrees", "{angel_degrees")
    with pytest.raises(InputError) as caught:
        load_suite(write(text))
    quoted = next(line for line in GUIDE.splitlines() if line.startswith("error:"))
    said = str(caught.value)
    assert quoted == f"error: {said[said.index('my.yaml') :]}"


@pytest.mark.parametrize("kind", [Suite, Task])
def test_the_guide_names_every_key(kind):
    missing = [f.name for f in fields(kind) if f"`{f.name}`" not in GUIDE and f.name != "overrides"]
    assert not missing


def test_a_suite_from_a_file_runs_and_its_record_can_do_without_the_file(write, tmp_path):
    path = write(TINY)
    run = evaluate("random", str(path), out=tmp_path / "run", isolate=False)
    path.unlink()
    assert set(run.scores["task"]) == {"tiny/still", "tiny/abrupt-shift"}
    again = load_run(tmp_path / "run")
    assert again.manifest.identity.suite == "tiny@1"
    assert suite_from_dict(again.manifest.suite).hash() == again.manifest.identity.suite_hash
    assert rewrite_report(tmp_path / "run").is_file()


def test_a_registered_suite_is_found_by_name_and_id(monkeypatch):
    monkeypatch.setattr(SUITES, "_entries", dict(SUITES._entries))
    task = Task("ours/still", "synthetic:60", "stationary", 2, 3)
    ours = Suite("ours", 4, "from a package", (task,))
    tasteshift.register_suite("ours", ours)
    assert load_suite("ours") is ours
    assert find_suite("ours@4") == ours
    assert find_suite("ours@4+users=2") == ours.overridden(users=2)
    with pytest.raises(InputError, match="already registered"):
        tasteshift.register_suite("quick", ours)
    rows = [row for row in listing("tasks") if row["name"] == "ours/still"]
    assert [(row["scenario"], row["users"], row["agents"]) for row in rows] == [
        ("stationary", 3, "no LLM")
    ]
