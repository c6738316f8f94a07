"""Whether a run was made for a suite that this version of TasteShift knows, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from ...envs.world import SIMULATOR_VERSION
from ...errors import InputError
from ...records import Identity, Manifest
from ...suites.canonical import sha256
from ...suites.suite import Suite, Task, find_suite
from .refusal import Refused

REMEDY = "verify with the TasteShift version that the run was made with"


def check_identity(manifest: Manifest) -> Suite:
    """The suite that was run; raises Refused at the first thing that is not as we have it."""
    identity = manifest.identity
    if manifest.identity_hash != _hash(identity):
        raise Refused("manifest.json: identity_hash is not the hash of identity; one was changed")
    try:
        suite = find_suite(identity.suite)
    except InputError as error:
        raise Refused(f"manifest.json: {error}") from None
    if identity.simulator_version != SIMULATOR_VERSION:
        raise Refused(
            f"manifest.json: simulator_version {identity.simulator_version!r} is not "
            f"{SIMULATOR_VERSION!r}; {REMEDY}"
        )
    _check_catalogs(identity, suite)
    if identity.suite_hash != suite.hash():
        raise Refused(f"manifest.json: suite_hash is not that of {suite.id} here; {REMEDY}")
    if manifest.suite != suite.document():
        raise Refused(f"manifest.json: suite is not {suite.id} as it is here; {REMEDY}")
    seeds = tuple(range(suite.seeds))
    if identity.seeds != seeds:
        raise Refused(
            f"manifest.json: seeds {list(identity.seeds)} are not {list(seeds)}, "
            f"those of {suite.id}"
        )
    return suite


def tasks_played(suite: Suite, recorded: Iterable[str]) -> tuple[Task, ...]:
    """The tasks that a run with episodes of the `recorded` tasks must hold completely.

    Agents that ask a language model play only the tasks made for that, so a run is either the
    whole suite or exactly those tasks; nothing in between is complete.
    """
    slow = tuple(task for task in suite.tasks if task.language_models)
    names = set(recorded)
    return slow if names and names <= {task.name for task in slow} else suite.tasks


def _check_catalogs(identity: Identity, suite: Suite) -> None:
    ours = suite.catalogs()
    if set(identity.catalogs) != set(ours):
        raise Refused(
            f"manifest.json: catalogs {sorted(identity.catalogs)} are not {sorted(ours)}, "
            f"those of {suite.id}"
        )
    for name, found in identity.catalogs.items():
        if found != ours[name]:
            raise Refused(
                f"manifest.json: catalog {name!r} has hash {found[:12]}…, here {ours[name][:12]}…; "
                "its data differ"
            )


def _hash(identity: Identity) -> str:
    try:
        return sha256(asdict(identity))
    except ValueError as error:
        raise Refused(f"manifest.json: identity cannot be hashed: {error}") from None
