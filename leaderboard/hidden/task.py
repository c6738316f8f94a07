"""A task on hidden seeds: as many lives of the same kind, in a catalog drawn for one attempt."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import partial
from threading import Lock
from weakref import WeakValueDictionary

from ...envs.catalogs.latents import CatalogData
from ...envs.catalogs.load import IN_MEMORY_PREFIX, load_data, register_in_memory
from ...envs.catalogs.resampling.resample import resample_catalog
from ...envs.simulator.world import build_world
from ...errors import InputError
from ...suites.suite import Task
from .keys import seed_from, subkey


@dataclass(frozen=True)
class HiddenTask(Task):
    """A task whose catalog, users and seeds are drawn under a key.

    There are no twin lives: whoever meets a user twice knows the second life.

    key  32 bytes, never shown and no part of any document
    """

    key: bytes = field(default=b"", repr=False)

    def episodes(self, seeds: int) -> list[tuple[int, int]]:
        """(seed, user) of users × `seeds` lives in the order of their numbers; no user twice.

        Who lives, and in which order, depends on the key alone. Raises InputError where the
        catalog has too few users.
        """
        rows = build_world(self.catalog, self.spec(), self.slate_size).eligible_users().tolist()
        count = self.users * seeds
        if count > len(rows):
            raise InputError(
                f"{self.name} asks for {count} users, but its catalog has {len(rows)} that may "
                "live there; play a suite with fewer users or seeds"
            )
        drawn = sorted(rows, key=lambda row: subkey(self.key, "user", row))[:count]
        return [(seed_from(self.key, "life", row), row) for row in drawn]

    def agent_seed(self, user: int) -> int:
        """The agent's own seed for a life; no function leads from it to the world's."""
        return seed_from(self.key, "agent", user)

    def plain(self) -> Task:
        """The task without its key, as it may be written down."""
        return Task(**{one.name: getattr(self, one.name) for one in fields(Task)})


def hidden_task(task: Task, key: bytes) -> HiddenTask:
    """`task` for the attempt with this key; its catalog is drawn when it is first loaded.

    What a scenario falsifies in the catalog is drawn under the key as well.
    """
    own = subkey(key, "lives", task.name)
    name = IN_MEMORY_PREFIX + subkey(key, "name", task.name).hex()[:32]
    register_in_memory(name, partial(_redrawn, task.catalog, subkey(key, "world", task.name), name))
    spec = task.spec()
    if spec.overlay is not None:
        spec = replace(spec, overlay=replace(spec.overlay, seed=seed_from(own, "overlay")))
    values = {one.name: getattr(task, one.name) for one in fields(Task)}
    values |= {
        "catalog": name,
        "scenario": spec,
        "sessions": None,
        "turns": None,
        "counterfactual": (),
    }
    return HiddenTask(**values, key=own)


_IN_USE: WeakValueDictionary[str, CatalogData] = WeakValueDictionary()
"""Catalogs that somebody holds: caches that forgot them find them here."""

_LOCK = Lock()


def _redrawn(base: str, key: bytes, name: str) -> CatalogData:
    with _LOCK:
        data = _IN_USE.get(name)
        if data is None:
            data = _IN_USE[name] = resample_catalog(load_data(base), key, name)
        return data
