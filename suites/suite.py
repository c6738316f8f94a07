"""Suites: frozen, versioned, hashed lists of tasks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from ..envs.catalogs.load import load_data
from ..envs.lifelong import Lifelong
from ..envs.scenarios import SCENARIOS
from ..envs.world import SIMULATOR_VERSION, build_world
from ..errors import InputError
from ..metrics import METRICS
from ..registry import Registry
from .canonical import sha256

COMPANIONS = ("random", "frozen-oracle", "oracle")
"""Lived beside the agent in every task: the zero, the frozen taste, and the ceiling."""


@dataclass(frozen=True)
class Task:
    """One kind of life, lived by `users` users for every seed.

    name             suite/task
    catalog          the environment's arguments, as are the next four
    sessions, turns  None for the scenario's own number
    users            users per seed
    language_models  whether agents that ask a language model play it too
    """

    name: str
    catalog: str
    scenario: str
    slate_size: int
    users: int
    sessions: int | None = None
    turns: int | None = None
    language_models: bool = False

    def lives(self, seeds: int) -> list[tuple[int, int]]:
        """(seed, user) of every life, in order; raises InputError for too many users."""
        world = build_world(self.catalog, self.scenario, self.slate_size, self.sessions, self.turns)
        return [
            (seed, user) for seed in range(seeds) for user in world.sample_users(seed, self.users)
        ]

    def make(self) -> Lifelong:
        """The environment of this task."""
        return Lifelong(self.catalog, self.scenario, self.slate_size, self.sessions, self.turns)


@dataclass(frozen=True)
class Suite:
    """A frozen list of tasks; changing one means another version.

    seeds      number of world seeds, 0 … seeds − 1
    overrides  what was changed on the command line, such as ("users=4",); such a suite has an
               id of its own and is never ranked
    """

    name: str
    version: int
    summary: str
    tasks: tuple[Task, ...]
    seeds: int = 1
    overrides: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Name, version and overrides, such as ``quick@1+users=4``."""
        return "+".join((f"{self.name}@{self.version}", *self.overrides))

    def overridden(self, *, users: int | None = None, seeds: int | None = None) -> Suite:
        """This suite with other numbers of users or seeds; raises InputError below 1."""
        for what, number in (("users", users), ("seeds", seeds)):
            if number is not None and number < 1:
                raise InputError(f"--{what} must be at least 1, not {number}")
        suite = self
        if seeds is not None and seeds != self.seeds:
            suite = replace(suite, seeds=seeds, overrides=(*suite.overrides, f"seeds={seeds}"))
        if users is not None and any(task.users != users for task in self.tasks):
            tasks = tuple(replace(task, users=users) for task in self.tasks)
            suite = replace(suite, tasks=tasks, overrides=(*suite.overrides, f"users={users}"))
        return suite

    def catalogs(self) -> dict[str, str]:
        """Name -> content hash of every catalog that is played."""
        names = sorted({task.catalog for task in self.tasks})
        return {name: load_data(name).public.hash for name in names}

    def hash(self) -> str:
        """SHA-256 over tasks, scenarios, simulator, metrics and catalogs."""
        scenarios = sorted({task.scenario for task in self.tasks})
        return sha256(
            {
                "suite": asdict(self),
                "simulator": SIMULATOR_VERSION,
                "scenarios": {name: asdict(SCENARIOS.get(name)) for name in scenarios},
                "catalogs": self.catalogs(),
                "companions": COMPANIONS,
                "metrics": METRICS.names(),
            }
        )


SUITES: Registry[Suite] = Registry("suite")
SUITES.register("quick", "tasteshift.suites.quick:QUICK")


def find_suite(identifier: str) -> Suite:
    """The suite behind an id such as ``quick@1+users=4``; raises InputError."""
    base, *overrides = identifier.split("+")
    name = base.partition("@")[0]
    suite = SUITES.get(name)
    changes = {key: value for key, _, value in (item.partition("=") for item in overrides)}
    if not all(key in ("users", "seeds") and value.isdecimal() for key, value in changes.items()):
        raise InputError(f"suite {identifier!r} has overrides that nobody knows; see list suites")
    found = suite.overridden(**{key: int(value) for key, value in changes.items()})
    if found.id != identifier:
        raise InputError(
            f"suite {identifier!r} is not the one of this version, which is {found.id!r}; "
            "use the TasteShift version that the run was made with"
        )
    return found
