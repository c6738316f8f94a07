"""Golden traces: short lives whose every bit is written down, one line per scenario.

`python -m tasteshift.envs.reference.golden` lives them again on this machine and says
where it differs from `golden.json`; with ``--write`` it records them anew, which goes with another
SIMULATOR_VERSION.
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

REDRAWABLE = {"regime_target", "recipient", "avoid_from", "avoid_topic"}
"""Fields that only keep what seed, user and session determine; the rest shows what they do."""

CATALOG, USERS, SLATE_SIZE, TURNS = "synthetic:200", 6, 4, 3


def digest(scenario: str) -> str:
    """SHA-256 over the state, choices and rewards of six users in every turn, and some ceilings.

    The slates are drawn at random, some slots empty; NumPy's byte order is made little-endian.
    """
    world = build_world(CATALOG, scenario, SLATE_SIZE, turns=TURNS)
    users = np.array(world.sample_users(7, USERS))
    seeds = np.arange(USERS).astype(np.uint64) + np.uint64(2**40)
    now = initial_population(world, seeds, users)
    seen = hashlib.sha256(repr((world.beta, world.outside_utility)).encode())
    slots = np.arange(SLATE_SIZE)
    for turn in range(world.turns):
        draw = philox.uniform(0, users[:, None], turn, Purpose.GOLDEN, slots)
        slates = (draw * (len(world.catalog) + 10)).astype(np.int64) - 10
        slates = np.maximum(slates, -1)
        one = take_rows(now, np.array([turn % USERS]))
        seen.update(
            repr(best_slate(*appraise(world, one), world.outside_utility, SLATE_SIZE)[1]).encode()
        )
        response = respond(world, now, slates)
        now = advance(world, now, slates, response)
        for part in (
            response.chosen,
            response.reward,
            *(getattr(now, f.name) for f in fields(now) if f.name not in REDRAWABLE),
        ):
            little = np.ascontiguousarray(part).astype(part.dtype.newbyteorder("<"), copy=False)
            seen.update(little.tobytes())
    return seen.hexdigest()


def golden() -> dict[str, str]:
    """What is written down: scenario -> digest, and the simulator's version."""
    text = files(__package__).joinpath("golden.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def differences(scenarios: Iterable[str]) -> list[str]:
    """The scenarios whose lives on this machine are not those written down."""
    known = golden()
    return [name for name in scenarios if known.get(name) != digest(name)]


def main(arguments: list[str]) -> int:
    """Compare or, with ``--write``, record; 1 where something differs."""
    names = SCENARIOS.names()
    if arguments == ["--write"]:
        path = files(__package__).joinpath("golden.json")
        written = {"simulator": SIMULATOR_VERSION, **{name: digest(name) for name in names}}
        with open(str(path), "w", encoding="utf-8") as file:
            file.write(json.dumps(written, indent=1) + "\n")
        return 0
    different = differences(names)
    for name in different:
        print(f"{name}: lives on this machine are not those of simulator {SIMULATOR_VERSION}")
    if not different:
        print(f"{len(names)} scenarios live bit for bit as simulator {SIMULATOR_VERSION} does")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
