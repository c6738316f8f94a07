"""Check that a run was made for exactly a suite, simulator and catalogs of this version."""

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
from ..rejection import VerificationError

REMEDY = "verify with the TasteShift version that the run was made with"
MAX_NAME_LENGTH = 100


def check_identity(manifest: Manifest, *, allow_unregistered: bool = False) -> Suite:
    """Return the suite that was run; raises VerificationError at the first difference.

    allow_unregistered  accept a suite that is not registered here, as the manifest describes it
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
    """Return the tasks that a run with episodes of the `recorded` tasks must hold completely.

    Agents that use a language model play only the tasks marked for it, so a run covers either the
    whole suite or exactly those tasks; anything in between is incomplete.
    """
    marked = tuple(task for task in suite.tasks if task.language_models)
    names = set(recorded)
    return marked if names and names <= {task.name for task in marked} else suite.tasks


def _suite(manifest: Manifest, allow_unregistered: bool) -> Suite:
    """Return the registered suite of that id or, where allowed, the one in the manifest.

    A suite from a manifest may use registered catalogs only: any other catalog name would be read
    as a path on this machine.
    """
    name = manifest.identity.suite
    base = name.partition("@")[0]
    if base in SUITES:
        return find_suite(name)
    if not allow_unregistered:
        what = unknown("suite", base, SUITES)
        raise VerificationError(f"manifest.json: {what}; a board may allow unregistered suites")
    suite = suite_from_dict(manifest.suite, "suite")
    if suite.id != name:
        raise VerificationError(f"manifest.json: suite describes {suite.id!r}, not {name!r}")
    for task in suite.tasks:
        if task.catalog.partition(":")[0] not in CATALOGS:
            raise VerificationError(
                f"manifest.json: {task.name} uses catalog {task.catalog!r}, which is not "
                "registered here; register it"
            )
        task.episodes(seeds=1)
        task.make(counterfactual=True)
    return suite


def _check_names(identity: Identity) -> None:
    """Check the names that boards print and sort by; decoder and pair may be empty."""
    names = {"agent": identity.agent, "decoder": identity.decoder, "pair": identity.pair}
    for what, name in names.items():
        unnamed = not name and what != "agent"
        if not unnamed and not (re.fullmatch(NAME, name) and len(name) <= MAX_NAME_LENGTH):
            raise VerificationError(
                f"manifest.json: {what} {name!r} must be at most {MAX_NAME_LENGTH} letters, "
                "digits, '.', '_' and '-'"
            )


def _check_catalogs(identity: Identity, suite: Suite) -> None:
    expected = suite.catalogs()
    if set(identity.catalogs) != set(expected):
        raise VerificationError(
            f"manifest.json: catalogs {sorted(identity.catalogs)} are not {sorted(expected)}, "
            f"those of {suite.id}"
        )
    for name, found in identity.catalogs.items():
        if found != expected[name]:
            raise VerificationError(
                f"manifest.json: catalog {name!r} has hash {found[:12]}…, here "
                f"{expected[name][:12]}…; the catalog data differ"
            )


def _hash(identity: Identity) -> str:
    try:
        return sha256(asdict(identity))
    except ValueError as error:
        raise VerificationError(f"manifest.json: identity cannot be hashed: {error}") from None
