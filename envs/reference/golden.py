"""Golden traces: recorded digests of short episodes, one per scenario.

`python -m tasteshift.envs.reference.golden` simulates them on this machine and names the scenarios
that differ from `golden.json`; with ``--write`` it records them, for a new SIMULATOR_VERSION.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import fields
from importlib.resources import files

import numpy as np

from ..numerics import philox
from ..numerics.philox import Purpose
from ..simulator.population import initial_population, take_rows
from ..simulator.scenarios import SCENARIOS
from ..simulator.turn import advance, respond
from ..simulator.world import SIMULATOR_VERSION, build_world
from .optimal_slate import appraise, best_slate

DERIVED_FIELDS = {"regime_target", "recipient", "avoid_from", "avoid_topic"}
"""Fields determined by seed, user and session; their effect shows in the others."""

CATALOG, USERS, SLATE_SIZE, TURNS = "synthetic:200", 6, 4, 3


def digest(scenario: str) -> str:
    """SHA-256 over the state, choices and rewards of six users in every turn, and some
    optimal rewards.

    The slates are drawn at random, some slots empty; Arrays are hashed in little-endian order.
    """
    world = build_world(CATALOG, scenario, SLATE_SIZE, turns=TURNS)
    users = np.array(world.sample_users(7, USERS))
    seeds = np.arange(USERS).astype(np.uint64) + np.uint64(2**40)
    now = initial_population(world, seeds, users)
    hashed = hashlib.sha256(repr((world.beta, world.outside_utility)).encode())
    slots = np.arange(SLATE_SIZE)
    for turn in range(world.turns):
        draw = philox.uniform(0, users[:, None], turn, Purpose.GOLDEN, slots)
        slates = (draw * (len(world.catalog) + 10)).astype(np.int64) - 10
        slates = np.maximum(slates, -1)
        one = take_rows(now, np.array([turn % USERS]))
        hashed.update(
            repr(best_slate(*appraise(world, one), world.outside_utility, SLATE_SIZE)[1]).encode()
        )
        response = respond(world, now, slates)
        now = advance(world, now, slates, response)
        for part in (
            response.chosen,
            response.reward,
            *(getattr(now, f.name) for f in fields(now) if f.name not in DERIVED_FIELDS),
        ):
            little = np.ascontiguousarray(part).astype(part.dtype.newbyteorder("<"), copy=False)
            hashed.update(little.tobytes())
    return hashed.hexdigest()


def golden() -> dict[str, str]:
    """The recorded digests: scenario -> digest, and the simulator's version."""
    text = files(__package__).joinpath("golden.json").read_text(encoding="utf-8")
    recorded: dict[str, str] = json.loads(text)
    return recorded


def differences(scenarios: Iterable[str]) -> list[str]:
    """The scenarios whose episodes on this machine differ from the recorded ones."""
    recorded = golden()
    return [name for name in scenarios if recorded.get(name) != digest(name)]


def main(arguments: list[str]) -> int:
    """Compare or, with ``--write``, record; returns 1 if a scenario differs."""
    names = SCENARIOS.names()
    if arguments == ["--write"]:
        path = files(__package__).joinpath("golden.json")
        written = {"simulator": SIMULATOR_VERSION, **{name: digest(name) for name in names}}
        with open(str(path), "w", encoding="utf-8") as file:
            file.write(json.dumps(written, indent=1) + "\n")
        return 0
    different = differences(names)
    for name in different:
        print(f"{name}: episodes on this machine differ from simulator {SIMULATOR_VERSION}")
    if not different:
        print(f"{len(names)} scenarios are bit-exact with simulator {SIMULATOR_VERSION}")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
