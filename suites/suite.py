"""Tasks, and suites of tasks: frozen, versioned and hashed."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from operator import index
from typing import Any, Literal, cast, get_args

from ..agents import declares, make_agent
from ..agents.protocols import TextAgent
from ..envs.catalogs.load import load_data
from ..envs.lifelong import Lifelong
from ..envs.simulator.scenarios import SCENARIOS, Scenario
from ..envs.simulator.world import SIMULATOR_VERSION, build_world
from ..errors import InputError
from ..metrics import METRICS
from ..records import AGENT, COUNTERFACTUAL
from ..registry import Registry, unknown
from ..validation import COUNT, check
from .serialization import dataclass_from_dict, dataclass_to_dict, sha256

REFERENCES = ("random", "frozen-oracle", "oracle")
"""Reference policies of every task: lower bound, best for the first day's taste, and ceiling."""

Track = Literal["personal", "cohort"]
"""Whether the agent is cloned for every user (personal), or learns across all users of a seed."""

CALENDAR = ("sessions", "turns", "gap_days")
DEFAULTS = {
    field.name: field.default
    for field in fields(Scenario)
    if field.name not in ("name", "summary", *CALENDAR)
}
"""Fields of a scenario that a counterfactual may leave out, with the value that turns them off."""

OVERRIDE = r"(seeds|track|users)=[a-z0-9]+"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"


@dataclass(frozen=True)
class Task:
    """A kind of episode, run for `users` users of every seed.

    name             suite/task
    catalog          argument of the environment, as are the next four
    scenario         a name from ``tasteshift list scenarios``, or a `Scenario` of your own
    sessions, turns  None for the scenario's own number
    users            users per seed
    language_models  whether agents that use a language model play it too
    counterfactual   names of `Scenario` fields, such as shift: the agent plays every episode once
                     more without them (with their defaults), as policy "agent-counterfactual"
    references       reference policies that play the same episodes; with oracle-plan, that is the
                     ceiling

    Raises InputError for values that no run could use. Whether the catalog exists and has so
    many users shows when the environment is built.
    """

    name: str
    catalog: str
    scenario: str | Scenario
    slate_size: int
    users: int
    sessions: int | None = None
    turns: int | None = None
    language_models: bool = False
    counterfactual: tuple[str, ...] = ()
    references: tuple[str, ...] = REFERENCES

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and re.fullmatch(f"{NAME}/{NAME}", self.name)):
            raise InputError(
                f"task name {self.name!r} must be suite/task in letters, digits, '.', '_' and '-', "
                "such as quick/stationary"
            )
        if not (isinstance(self.catalog, str) and self.catalog):
            raise InputError(f"catalog of Task must be a name or a folder, not {self.catalog!r}")
        if not isinstance(self.scenario, str | Scenario):
            raise InputError(
                f"scenario of Task must be a name or a Scenario, not {self.scenario!r}"
            )
        check(self, slate_size=COUNT, users=COUNT, language_models=bool)
        check(self, **{n: COUNT for n in ("sessions", "turns") if getattr(self, n) is not None})
        _check_names("counterfactual", self.counterfactual)
        _check_names("references", self.references)
        spec = self.spec()
        active = [name for name, default in DEFAULTS.items() if getattr(spec, name) != default]
        for name in self.counterfactual:
            if name not in DEFAULTS:
                raise unknown("field of counterfactual", name, active or DEFAULTS)
            if name not in active:
                raise InputError(
                    f"counterfactual of {self.name} cannot leave out {name!r}, which scenario "
                    f"{spec.name!r} does not have; it has {', '.join(active) or 'no such field'}"
                )
        self.spec(counterfactual=True)
        for name in self.references:
            if declares(name, TextAgent):
                raise InputError(
                    f"reference policy {name!r} uses a language model; name another agent"
                )

    @property
    def summary(self) -> str:
        """What happens in these episodes, in one line."""
        return self.spec().summary

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies of each episode: agent, counterfactual where there is one, references."""
        counterfactual = (COUNTERFACTUAL,) if self.counterfactual else ()
        return (AGENT, *counterfactual, *self.references)

    def spec(self, *, counterfactual: bool = False) -> Scenario:
        """The scenario in full, with this task's sessions and turns."""
        asked = self.scenario
        spec = asked if isinstance(asked, Scenario) else SCENARIOS.get(asked)
        changes: dict[str, Any] = {"sessions": self.sessions, "turns": self.turns}
        changes = {name: value for name, value in changes.items() if value is not None}
        if counterfactual:
            changes |= {name: DEFAULTS[name] for name in self.counterfactual}
        return replace(spec, **changes)

    def episodes(self, seeds: int) -> list[tuple[int, int]]:
        """(seed, user) of every episode, in order; raises InputError for too many users."""
        world = build_world(self.catalog, self.spec(), self.slate_size)
        return [
            (seed, user) for seed in range(seeds) for user in world.sample_users(seed, self.users)
        ]

    def make(self, *, counterfactual: bool = False) -> Lifelong:
        """The environment of this task, or of its counterfactual."""
        return Lifelong(self.catalog, self.spec(counterfactual=counterfactual), self.slate_size)


@dataclass(frozen=True)
class Suite:
    """A frozen list of tasks; changing one means another version.

    seeds      number of environment seeds, 0 … seeds − 1
    track      personal or cohort
    overrides  changes from the command line, such as ("users=4",); such a suite has an id of its
               own and is never ranked

    Raises InputError for values that no run could use.
    """

    name: str
    version: int
    summary: str
    tasks: tuple[Task, ...]
    seeds: int = 1
    track: Track = "personal"
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_suite_name(self.name)
        if not isinstance(self.summary, str):
            raise InputError(f"summary of Suite must be a line of text, not {self.summary!r}")
        check(self, version=COUNT, seeds=COUNT)
        _check_track("track of Suite", self.track)
        _check_names("overrides", self.overrides)
        if any(not re.fullmatch(OVERRIDE, item) for item in self.overrides):
            raise InputError(f"overrides of suite {self.name!r} must be such as users=4")
        if not (isinstance(self.tasks, tuple) and self.tasks):
            raise InputError(f"suite {self.name!r} has no tasks; give it a tuple of at least one")
        seen = set()
        for task in self.tasks:
            if not isinstance(task, Task):
                raise InputError(f"tasks of suite {self.name!r} must be Task, not {task!r}")
            if not task.name.startswith(f"{self.name}/"):
                raise InputError(f"task {task.name!r} must be called {self.name}/… like its suite")
            if task.name in seen:
                raise InputError(f"suite {self.name!r} has two tasks {task.name!r}; rename one")
            seen.add(task.name)

    @property
    def id(self) -> str:
        """Name, version and overrides, such as ``quick@2+users=4``."""
        return "+".join((f"{self.name}@{self.version}", *self.overrides))

    def overridden(
        self, *, users: int | None = None, seeds: int | None = None, track: Track | None = None
    ) -> Suite:
        """This suite with other numbers of users or seeds, or on another track.

        Raises InputError for numbers below 1 and for unknown tracks.
        """
        suite, made = self, dict(item.split("=", 1) for item in self.overrides)
        seeds, users = _counted("--seeds", seeds), _counted("--users", users)
        if seeds is not None and seeds != self.seeds:
            suite, made["seeds"] = replace(suite, seeds=seeds), f"{seeds}"
        if track is not None and track != self.track:
            _check_track("--track", track)
            suite, made["track"] = replace(suite, track=track), track
        if users is not None and any(task.users != users for task in self.tasks):
            tasks = tuple(replace(task, users=users) for task in self.tasks)
            suite, made["users"] = replace(suite, tasks=tasks), f"{users}"
        return replace(suite, overrides=tuple(f"{key}={made[key]}" for key in sorted(made)))

    def to_dict(self) -> dict[str, Any]:
        """The whole suite as JSON values; `suite_from_dict` is the inverse."""
        return dataclass_to_dict(self)

    def catalogs(self) -> dict[str, str]:
        """Name -> content hash of every catalog that a task uses."""
        names = sorted({task.catalog for task in self.tasks})
        return {name: load_data(name).public.hash for name in names}

    def hash(self) -> str:
        """SHA-256 over all that decides the episodes and their scores.

        The tasks, seeds and track; every scenario in full, with its counterfactual; the reference
        policies with their settings; the version of the simulator and of every metric; the
        content of the catalogs.
        """
        references = sorted({name for task in self.tasks for name in task.references})
        return sha256(
            {
                "suite": self.to_dict(),
                "scenarios": {
                    task.name: [asdict(task.spec()), asdict(task.spec(counterfactual=True))]
                    for task in self.tasks
                },
                "references": {name: make_agent(name).config() for name in references},
                "simulator": SIMULATOR_VERSION,
                "metrics": {name: METRICS.get(name).version for name in METRICS},
                "catalogs": self.catalogs(),
            }
        )


def suite_from_dict(values: Any, source: str = "the suite") -> Suite:
    """The suite of `Suite.to_dict`; raises InputError that names what is wrong in `source`."""
    suite: Suite = dataclass_from_dict(Suite, values, source)
    return suite


SUITES: Registry[Suite] = Registry("suite")
for _name in ("quick", "lifelong", "safety", "multimodal", "full"):
    SUITES.register(_name, f"tasteshift.suites.{_name}:{_name.upper()}")


def find_suite(identifier: str) -> Suite:
    """The suite behind an id such as ``quick@2+users=4``; raises InputError."""
    base, *overrides = identifier.split("+")
    suite = SUITES.get(base.partition("@")[0])
    given = dict(item.partition("=")[::2] for item in overrides)
    counts = {key: int(given.pop(key)) for key in ("users", "seeds") if _count(given.get(key))}
    track = cast("Track | None", given.pop("track", None))
    if given or track not in (None, *get_args(Track)):
        raise InputError(f"suite {identifier!r} has unknown overrides; see tasteshift list suites")
    found = suite.overridden(**counts, track=track)
    if found.id != identifier:
        raise InputError(
            f"suite {identifier!r} is not the one of this version, which is {found.id!r}; "
            "use the TasteShift version that the run was made with"
        )
    return found


def check_suite_name(name: Any, prefix: str = "") -> None:
    """Raise InputError, which begins with `prefix`, for a name unfit for ids and folders."""
    if not (isinstance(name, str) and re.fullmatch(NAME, name)):
        raise InputError(
            f"{prefix}suite name {name!r} must be made of letters, digits, '.', '_' and '-'"
        )


def _count(text: str | None) -> bool:
    return text is not None and text.isdecimal() and len(text) < 10


def _counted(what: str, count: Any) -> int | None:
    """A number of at least 1 as int, or None; raises InputError for anything else."""
    try:
        whole = None if count is None else index(count)
    except TypeError:
        whole = 0
    if whole is not None and whole < 1:
        raise InputError(f"{what} must be at least 1, not {count!r}")
    return whole


def _check_names(field: str, names: Any) -> None:
    """Raise InputError unless these are a tuple of different names."""
    if not (isinstance(names, tuple) and all(isinstance(name, str) for name in names)):
        raise InputError(f"{field} must be a tuple of names, not {names!r}")
    if len(set(names)) < len(names):
        raise InputError(f"{field} {', '.join(names)} names something twice; leave one out")


def _check_track(what: str, track: Any) -> None:
    if track not in get_args(Track):
        raise InputError(f"{what} must be {' or '.join(get_args(Track))}, not {track!r}")
