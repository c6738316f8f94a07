"""Whether a run was made for a suite that this version of TasteShift knows, bit for bit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict

from ...envs.catalogs.load import CATALOGS
from ...envs.simulator.world import SIMULATOR_VERSION
from ...errors import InputError
from ...records import Identity, Manifest
from ...registry import unknown
from ...suites.serialization import sha256
from ...suites.suite import NAME, SUITES, Suite, Task, find_suite, suite_from_dict
from .rejection import VerificationError

REMEDY = "verify with the TasteShift version that the run was made with"


LONGEST_NAME = 100


def check_identity(manifest: Manifest, *, allow_unregistered: bool = False) -> Suite:
    """Return the suite that was run; raises VerificationError at the first difference.

    allow_unregistered  take a suite that is not registered here as the manifest describes it
    """
    identity = manifest.identity
    if manifest.identity_hash != _hash(identity):
        raise VerificationError(
            "manifest.json: identity_hash is not the hash of identity; one was changed"
        )
    _check_names(identity)
    try:
        suite = _suite(manifest, allow_unregistered)
    except InputError as error:
        raise VerificationError(f"manifest.json: {error}") from None
    if len(identity.seeds) != suite.seeds:
        raise VerificationError(
            f"manifest.json: {len(identity.seeds)} seeds are not those of {suite.id}"
        )
    if identity.simulator_version != SIMULATOR_VERSION:
        raise VerificationError(
            f"manifest.json: simulator_version {identity.simulator_version!r} is not "
            f"{SIMULATOR_VERSION!r}; {REMEDY}"
        )
    _check_catalogs(identity, suite)
    if identity.suite_hash != suite.hash():
        raise VerificationError(
            f"manifest.json: suite_hash is not that of {suite.id} here; {REMEDY}"
        )
    if manifest.suite != suite.to_dict():
        raise VerificationError(f"manifest.json: suite is not {suite.id} as it is here; {REMEDY}")
    seeds = tuple(range(suite.seeds))
    if identity.seeds != seeds:
        raise VerificationError(
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


def _suite(manifest: Manifest, allow_unregistered: bool) -> Suite:
    """The registered suite of that id, or, where that is allowed, the one in the manifest.

    What a stranger describes may be played in catalogs of the registry only: any other name is
    a path on this machine.
    """
    name = manifest.identity.suite
    base = name.partition("@")[0]
    if base in SUITES:
        return find_suite(name)
    if not allow_unregistered:
        what = unknown("suite", base, SUITES)
        raise VerificationError(
            f"manifest.json: {what}; a board must be told to allow unregistered suites"
        )
    suite = suite_from_dict(manifest.suite, "suite")
    if suite.id != name:
        raise VerificationError(f"manifest.json: suite describes {suite.id!r}, not {name!r}")
    for task in suite.tasks:
        if task.catalog.partition(":")[0] not in CATALOGS:
            raise VerificationError(
                f"manifest.json: {task.name} is played in {task.catalog!r}, which is no catalog "
                "of the registry here; register it"
            )
        task.episodes(seeds=1)
        task.make(counterfactual=True)
    return suite


def _check_names(identity: Identity) -> None:
    """What boards print and sort by is short and plain; only the agent must have a name."""
    names = {"agent": identity.agent, "decoder": identity.decoder, "pair": identity.pair}
    for what, name in names.items():
        unnamed = not name and what != "agent"
        if not unnamed and not (re.fullmatch(NAME, name) and len(name) <= LONGEST_NAME):
            raise VerificationError(
                f"manifest.json: {what} {name!r} must be at most {LONGEST_NAME} letters, digits, "
                "'.', '_' and '-'"
            )


def _check_catalogs(identity: Identity, suite: Suite) -> None:
    ours = suite.catalogs()
    if set(identity.catalogs) != set(ours):
        raise VerificationError(
            f"manifest.json: catalogs {sorted(identity.catalogs)} are not {sorted(ours)}, "
            f"those of {suite.id}"
        )
    for name, found in identity.catalogs.items():
        if found != ours[name]:
            raise VerificationError(
                f"manifest.json: catalog {name!r} has hash {found[:12]}…, here {ours[name][:12]}…; "
                "its data differ"
            )


def _hash(identity: Identity) -> str:
    try:
        return sha256(asdict(identity))
    except ValueError as error:
        raise VerificationError(f"manifest.json: identity cannot be hashed: {error}") from None
