"""Environment benchmark: user-steps per second, interleaved, beside SARDINE; and peak memory.

An absolute speed means little on a busy machine; the ratios beside it mean more.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from time import perf_counter
from typing import Any

import gymnasium as gym
import numpy as np

from ..envs.dynamics.constraint import Constraint
from ..envs.dynamics.drift import Drift
from ..envs.dynamics.influence import Influence
from ..envs.dynamics.patience import Patience
from ..envs.dynamics.recurring import Recurring
from ..envs.dynamics.retention import Retention
from ..envs.dynamics.satiation import Satiation
from ..envs.dynamics.shift import Shift
from ..envs.dynamics.transient import Transient
from ..envs.dynamics.trust import Trust
from ..envs.lifelong import Lifelong
from ..envs.simulator.scenarios import Scenario

ALL_DYNAMICS = Scenario(
    "all-dynamics",
    "all user dynamics of this package at once",
    sessions=30,
    turns=10,
    drift=Drift(half_life_days=30, dispersion=1.2),
    shift=Shift(angle_degrees=90, first_day=10, last_day=30),
    recurring=Recurring(period_days=28, regimes=2, angle_degrees=60),
    transient=Transient(probability=0.2),
    satiation=Satiation(half_life_days=7, cost=1.0),
    influence=Influence(consumption=0.1, exposure=0.005, anchor=0.02),
    patience=Patience(start=15, refusal_cost=1),
    trust=Trust(start=0.5, gain=0.6, reference=0.25, penalty=0.02),
    retention=Retention(base=0.05, horizon_days=42),
    constraint=Constraint(first_day=8, last_day=28),
)
ROUNDS, SLATE_SIZE = 7, 10
FEW_ITEMS, MANY_ITEMS = 1000, 1_000_000
MEMORY_USERS = 100_000

VECTOR, SINGLE, SARDINE = "tasteshift-vector", "tasteshift-single", "sardine-sync"
MANY = "-1m-items"
"""Suffix of the names of measurements on a catalog of `MANY_ITEMS`."""

TARGETS = {VECTOR: 700_000.0, SINGLE: 10_000.0}
"""Name -> user-steps per second that the project promises."""

TARGET_SPEEDUP, MAX_SLOWDOWN, MAX_MEMORY_GB = 50.0, 1.2, 1.0
"""Promised: vector speed over SARDINE, cost of a large catalog, memory of `MEMORY_USERS` users."""

Rollout = Callable[[], int]
"""Runs some steps of an environment; returns the number of user-steps."""


def measure_speed(num_envs: int = 16384, threads: int | None = None) -> list[dict[str, Any]]:
    """One flat row of JSON values per environment.

    name              unique; such as tasteshift-vector, tasteshift-single, sardine-sync
    scenario          name of the scenario; None for SARDINE
    num_envs          environments stepped at once
    num_items         size of the catalog
    user_steps_per_s  median over rounds in which all environments are run once
    target            user-steps per second that the project promises, or None
    speedup_sardine   times SARDINE's speed; None where it is not installed
    slowdown_items    times the cost of a step at `FEW_ITEMS` items, for large catalogs; else None
    memory_gb         peak memory of `MEMORY_USERS` users, for tasteshift-vector; else None
    """
    large = f"synthetic:{MANY_ITEMS}"
    kinds: dict[str, tuple[str | None, int, int, Rollout]] = {
        VECTOR: (
            *(ALL_DYNAMICS.name, num_envs, FEW_ITEMS),
            vector_rollout("synthetic", ALL_DYNAMICS, num_envs, threads),
        ),
        f"{VECTOR}-stationary": (
            *("stationary", num_envs, FEW_ITEMS),
            vector_rollout("synthetic", "stationary", num_envs, threads),
        ),
        VECTOR + MANY: (
            *(ALL_DYNAMICS.name, num_envs, MANY_ITEMS),
            vector_rollout(large, ALL_DYNAMICS, num_envs, threads),
        ),
        SINGLE: ("gradual-drift", 1, FEW_ITEMS, single_rollout("synthetic", "gradual-drift")),
        SINGLE + MANY: ("gradual-drift", 1, MANY_ITEMS, single_rollout(large, "gradual-drift")),
    }
    if find_spec("sardine") is not None:
        kinds[SARDINE] = (None, SARDINE_ENVS, FEW_ITEMS, sardine_rollout())
    rates = interleaved_rates({name: kind[-1] for name, kind in kinds.items()})
    memory = peak_memory_gb(MEMORY_USERS)
    return [
        {
            "name": name,
            "scenario": scenario,
            "num_envs": envs,
            "num_items": items,
            "user_steps_per_s": rates[name],
            "target": TARGETS.get(name),
            "speedup_sardine": rates[name] / rates[SARDINE] if SARDINE in rates else None,
            "slowdown_items": (
                rates[name.removesuffix(MANY)] / rates[name] if name.endswith(MANY) else None
            ),
            "memory_gb": memory if name == VECTOR else None,
        }
        for name, (scenario, envs, items, _) in kinds.items()
    ]


def interleaved_rates(rollouts: Mapping[str, Rollout]) -> dict[str, float]:
    """User-steps per second of each rollout, median of `ROUNDS` interleaved rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in rollouts}
    for number in range(ROUNDS + 1):
        for name, rollout in rollouts.items():
            start = perf_counter()
            steps = rollout()
            if number:  # the first round warms up
                seconds[name].append((perf_counter() - start) / steps)
    return {name: 1 / median(one) for name, one in seconds.items()}


def peak_memory_gb(users: int) -> float:
    """Peak GB that `users` drifting users need for more than two sessions, in a process."""
    code = (
        "import tracemalloc, numpy as np\n"
        "from tasteshift.envs.vector import LifelongVector\n"
        "def run(users):\n"
        "    envs = LifelongVector(users, 'synthetic', 'gradual-drift', 10)\n"
        "    envs.reset(seed=0)\n"
        "    for k in range(12):\n"
        "        envs.step({'slate': np.full((users, 10), -1) + k * (np.arange(10) + 1)})\n"
        "    return envs\n"
        "run(64)\n"  # compiles and loads outside the measurement
        "tracemalloc.start()\n"
        f"run({users})\n"
        "print(tracemalloc.get_traced_memory()[1])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    return float(ran.stdout) / 1e9


def vector_rollout(
    catalog: str, scenario: str | Scenario, num_envs: int, threads: int | None
) -> Rollout:
    """Twenty steps of the vector environment with random slates."""
    envs = gym.make_vec(
        "TasteShift/Lifelong-v0",
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        catalog=catalog,
        scenario=scenario,
        slate_size=SLATE_SIZE,
        threads=threads,
    )
    envs.reset(seed=0)
    items = int(catalog.partition(":")[2] or FEW_ITEMS)
    rng = np.random.default_rng(0)
    actions = [{"slate": rng.integers(items, size=(num_envs, SLATE_SIZE))} for _ in range(20)]

    def rollout() -> int:
        for action in actions:
            envs.step(action)
        return len(actions) * num_envs

    return rollout


def single_rollout(catalog: str, scenario: str) -> Rollout:
    """A thousand steps of one environment with random slates, utterances included."""
    env = Lifelong(catalog, scenario, SLATE_SIZE)
    env.reset(seed=0)
    items = len(env.world.catalog)
    rng = np.random.default_rng(0)
    actions = [{"slate": rng.integers(items, size=SLATE_SIZE)} for _ in range(1000)]

    def rollout() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(actions)

    return rollout


SARDINE_ENVS = 8


def sardine_rollout() -> Rollout:
    """Twenty steps of SARDINE, also with 1,000 items and slates of 10, in a SyncVectorEnv."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("sardine")

        name = "sardine/SlateTopK-BoredInf-v0"
        envs = gym.vector.SyncVectorEnv([lambda: gym.make(name)] * SARDINE_ENVS)
        envs.reset(seed=0)
    actions = [envs.action_space.sample() for _ in range(20)]

    def rollout() -> int:
        for action in actions:
            envs.step(action)
        return len(actions) * envs.num_envs

    return rollout
