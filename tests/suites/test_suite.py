"""Suites: names, overrides, hashes, and who plays which task."""

from dataclasses import replace

import pytest

from tasteshift.errors import InputError
from tasteshift.suites.evaluate import keys, tasks_for
from tasteshift.suites.suite import COMPANIONS, SUITES, Task, find_suite


@pytest.mark.parametrize("name", SUITES.names())
def test_every_suite_can_be_found_by_its_id_and_builds_its_worlds(name):
    suite = SUITES.get(name)
    assert find_suite(suite.id) == suite
    assert len({task.name for task in suite.tasks}) == len(suite.tasks)
    for task in suite.tasks:
        assert task.name.startswith(f"{name}/")
        assert len(task.lives(suite.seeds)) == suite.seeds * task.users
        assert task.users >= 20 or name == "smoke"


def test_the_quick_suite_asks_language_models_for_one_small_task():
    quick = SUITES.get("quick")
    asked = [task for task in quick.tasks if task.language_models]
    assert [(t.name, t.users, t.turns, t.sessions) for t in asked] == [
        ("quick/first-session", 24, 2, 1)
    ]
    assert {t.scenario for t in quick.tasks} >= {"stationary", "gradual-drift", "abrupt-shift"}


def test_overrides_change_the_id_the_hash_and_the_lives():
    suite = SUITES.get("smoke")
    fewer = suite.overridden(users=4, seeds=3)
    assert fewer.id == "smoke@1+seeds=3+users=4"
    assert find_suite(fewer.id) == fewer
    assert fewer.hash() != suite.hash() == suite.overridden(seeds=1).hash()
    assert len(fewer.tasks[0].lives(fewer.seeds)) == 12
    for wrong in ({"users": 0}, {"seeds": -1}):
        with pytest.raises(InputError, match="must be at least 1"):
            suite.overridden(**wrong)


@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        ("qick@1", "did you mean 'quick'"),
        ("quick@0", "which is 'quick@1'"),
        ("quick@1+users=x", "overrides that nobody knows"),
        ("quick@1+colour=3", "overrides that nobody knows"),
        ("quick@1+users=40+seeds=1", "is not the one of this version"),
    ],
)
def test_unknown_ids_are_refused(identifier, message):
    with pytest.raises(InputError, match=message):
        find_suite(identifier)


def test_the_hash_covers_tasks_and_world():
    suite = SUITES.get("smoke")
    task = replace(suite.tasks[0], slate_size=suite.tasks[0].slate_size + 1)
    assert replace(suite, tasks=(task, *suite.tasks[1:])).hash() != suite.hash()
    assert replace(suite, version=2).hash() != suite.hash()


class Talker:
    name, uses_language_model = "talker", True


def test_language_models_play_only_the_tasks_made_for_them():
    suite = replace(
        SUITES.get("smoke"),
        tasks=(
            Task("smoke/one", "synthetic:30", "stationary", 2, 2, language_models=True),
            Task("smoke/two", "synthetic:30", "stationary", 2, 2),
        ),
    )
    assert [task.name for task in tasks_for(suite, Talker())] == ["smoke/one"]
    everyone = keys(tasks_for(suite, object()), suite.seeds)
    assert {key[0] for key in everyone} == {"smoke/one", "smoke/two"}
    assert len(everyone) == 2 * 2 * (1 + len(COMPANIONS))
