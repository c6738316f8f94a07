"""A task on hidden seeds: the same kind of episodes, in a catalog drawn for one attempt."""

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
from ..keys import seed_from, subkey


@dataclass(frozen=True)
class HiddenTask(Task):
    """A task whose catalog, users and seeds are drawn under a key.

    There are no counterfactual episodes: the second episode of a user would be known in advance.

    key  32 bytes, never shown and not part of any document
    """

    key: bytes = field(default=b"", repr=False)

    def episodes(self, seeds: int) -> list[tuple[int, int]]:
        """(seed, user) of users × `seeds` episodes in the order of their numbers; users differ.

        Users and their order depend on the key alone. Raises InputError where the catalog has too
        few users.
        """
        rows = build_world(self.catalog, self.spec(), self.slate_size).eligible_users().tolist()
        count = self.users * seeds
        if count > len(rows):
            raise InputError(
                f"{self.name} asks for {count} users, but its catalog has {len(rows)} eligible "
                "ones; play a suite with fewer users or seeds"
            )
        drawn = sorted(rows, key=lambda row: subkey(self.key, "user", row))[:count]
        return [(seed_from(self.key, "life", row), row) for row in drawn]

    def agent_seed(self, user: int) -> int:
        """The agent's seed for an episode; the environment's seed cannot be computed from it."""
        return seed_from(self.key, "agent", user)

    def without_key(self) -> Task:
        """The ordinary task, as it may be written down."""
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


_LOADED: WeakValueDictionary[str, CatalogData] = WeakValueDictionary()
"""Catalogs in use: found here after the caches of `load_data` have dropped them."""

_LOCK = Lock()


def _redrawn(base: str, key: bytes, name: str) -> CatalogData:
    with _LOCK:
        data = _LOADED.get(name)
        if data is None:
            data = _LOADED[name] = resample_catalog(load_data(base), key, name)
        return data
