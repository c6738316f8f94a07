"""Custom suites, from a short YAML file or from Python."""

from __future__ import annotations

import json
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..envs.simulator.scenarios import SCENARIOS
from ..errors import InputError
from ..registry import UnknownName, unknown
from .serialization import dataclass_to_dict
from .suite import REFERENCES, SUITES, Suite, check_suite_name, suite_from_dict

SUFFIXES = (".yaml", ".yml", ".json", ".py")

SUITE_DEFAULTS = {"version": 1, "summary": "a custom suite"}
TASK_DEFAULTS = {"catalog": "movielens-100k", "slate_size": 5, "users": 24}


def load_suite(name_or_path: str | Path) -> Suite:
    """The suite of a name from ``tasteshift list suites``, or the one that a file describes.

    A ``.yaml``, ``.yml`` or ``.json`` file holds `name`, `tasks` and, if wanted, `version`,
    `summary`, `seeds` and `track`. A task holds `scenario` and the other fields of `Task`;
    `name` is by default the scenario's, and is put behind the suite's; `references` come on top
    of those in every task. A scenario is a name, or a mapping of the fields of `Scenario` that
    differ from those of its `base`. A ``.py`` file defines ``SUITE``.

    Raises InputError, in one line that names file and position, for a file with other content,
    with the name of a registered suite, or with an environment that cannot be built.
    """
    name = str(name_or_path)
    if name in SUITES:
        suite = SUITES.get(name)
        if suite.name != name:
            raise InputError(f"suite {name!r} calls itself {suite.name!r}; register it as that")
        return suite
    path = Path(name)
    if path.suffix not in SUFFIXES:
        raise UnknownName(
            f"{unknown('suite', name, SUITES)} (a file of your own ends in {', '.join(SUFFIXES)})"
        )
    if not path.is_file():
        raise InputError(f"{path} is not there; name a suite, or a file that describes one")
    if path.suffix == ".py":
        suite = _suite_of_module(path)
    else:
        suite = suite_from_dict(_full_suite(_read_document(path), path), name)
    if suite.name in SUITES:
        raise InputError(f"{path}: name {suite.name!r} is taken by a suite; choose another")
    if suite.overrides:
        raise InputError(f"{path}: overrides belong on the command line; leave them out")
    for k, task in enumerate(suite.tasks):
        try:
            task.episodes(suite.seeds)
            task.make(counterfactual=True)
        except InputError as error:
            raise InputError(f"{path}: tasks[{k}]: {error}") from error
    return suite


def _read_document(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read: {problem}; correct the file") from error


def _suite_of_module(path: Path) -> Suite:
    """The variable SUITE of a Python file."""
    try:
        suite = runpy.run_path(str(path)).get("SUITE")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path} fails: {problem}; correct the file") from error
    if not isinstance(suite, Suite):
        raise InputError(f"{path} must define SUITE, a tasteshift.suites.suite.Suite")
    return suite


def _full_suite(short: Any, path: Path) -> Any:
    """A suite's values with the defaults of those that the file leaves out."""
    if not isinstance(short, Mapping):
        raise InputError(f"{path} must be a mapping with name and tasks")
    name, tasks = short.get("name"), short.get("tasks")
    if "name" in short:
        check_suite_name(name, f"{path}: ")
    if isinstance(tasks, list):
        tasks = [_full_task(task, name, f"{path}: tasks[{k}]") for k, task in enumerate(tasks)]
    return {**SUITE_DEFAULTS, **short, "tasks": tasks or ()}


def _full_task(short: Any, suite: Any, where: str) -> Any:
    if not isinstance(short, Mapping):
        raise InputError(f"{where} must be a mapping with a scenario, not {type(short).__name__}")
    task: dict[str, Any] = {**TASK_DEFAULTS, **short}
    scenario = task.get("scenario")
    if isinstance(scenario, Mapping):
        name = str(task.get("name", scenario.get("base", "")))
        task["scenario"] = scenario = _full_scenario(scenario, name, f"{where}.scenario")
        scenario = scenario["name"]
    own = str(task.get("name", scenario))
    task["name"] = own if own.startswith(f"{suite}/") else f"{suite}/{own}"
    references = task.get("references", ())
    if isinstance(references, list | tuple):
        task["references"] = [*REFERENCES, *(one for one in references if one not in REFERENCES)]
    return task


def _full_scenario(short: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """A scenario's values: those of its base, replaced by those given; mappings are merged."""
    changes = {key: value for key, value in short.items() if key != "base"}
    if "base" not in short:
        return {"name": name, "summary": "a custom scenario", **changes}
    try:
        spec = SCENARIOS.get(str(short["base"]))
    except InputError as error:
        raise InputError(f"{where}.base: {error}") from error
    base = dataclass_to_dict(spec)
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            changes[key] = {**base[key], **value}
    summary = {"summary": f"{spec.name} with other {', '.join(changes)}"} if changes else {}
    return {**base, "name": name, **summary, **changes}
