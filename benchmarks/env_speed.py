"""How fast the world is: figures taken in one run, interleaved, as medians.

An absolute time means little on a busy machine; the ratios beside it mean more.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
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

EVERYTHING = Scenario(
    "everything",
    "all dynamics of the house at once; the presets stand for other houses' users",
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
VECTOR, PEER = "vector, all dynamics", "sardine-rec, SyncVectorEnv"
Sprint = Callable[[], int]
"""Does some steps and says how many user-steps they were."""


def speeds(num_envs: int = 16384, threads: int | None = None) -> Iterator[dict[str, Any]]:
    """Rows {what, value, unit, bar}: rates, their ratios, and memory.

    bar  what the project promises, or None
    """
    contenders = {
        VECTOR: vector("synthetic", EVERYTHING, num_envs, threads),
        "vector, stationary": vector("synthetic", "stationary", num_envs, threads),
        f"{VECTOR}, 1,000,000 items": vector("synthetic:1000000", EVERYTHING, num_envs, threads),
        "single": single("synthetic", "gradual-drift"),
        "single, 1,000,000 items": single("synthetic:1000000", "gradual-drift"),
    }
    if find_spec("sardine") is not None:
        contenders[PEER] = sardine_peer()
    rate = interleaved(contenders)
    bars = {VECTOR: 700_000.0, "single": 10_000.0}
    for name, value in rate.items():
        yield _row(name, value, "user-steps/s", bars.get(name))
    if PEER in rate:
        yield _row(f"{VECTOR} / {PEER}", rate[VECTOR] / rate[PEER], "×", 50.0)
    for kind in ("single", VECTOR):
        ratio = rate[kind] / rate[f"{kind}, 1,000,000 items"]
        yield _row(f"cost at 1,000,000 items / 1,000 items, {kind}", ratio, "×", 1.2)
    yield _row("memory of 100,000 live users", memory(100_000), "GB", 1.0)


def interleaved(contenders: dict[str, Sprint]) -> dict[str, float]:
    """User-steps per second of each contender, median of ROUNDS rounds in which all take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(ROUNDS + 1):
        for name, sprint in contenders.items():
            start = perf_counter()
            steps = sprint()
            if round_:
                seconds[name].append((perf_counter() - start) / steps)
    return {name: 1 / median(one) for name, one in seconds.items()}


def memory(users: int) -> float:
    """GB at the peak that `users` drifting users need for two sessions and more, in a process."""
    code = (
        "import tracemalloc, numpy as np\n"
        "from tasteshift.envs.vector import LifelongVector\n"
        "def live(users):\n"
        "    envs = LifelongVector(users, 'synthetic', 'gradual-drift', 10)\n"
        "    envs.reset(seed=0)\n"
        "    for k in range(12):\n"
        "        envs.step({'slate': np.full((users, 10), -1) + k * (np.arange(10) + 1)})\n"
        "    return envs\n"
        "live(64)\n"
        "tracemalloc.start()\n"
        f"live({users})\n"
        "print(tracemalloc.get_traced_memory()[1])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    return float(ran.stdout) / 1e9


def vector(catalog: str, scenario: str | Scenario, num_envs: int, threads: int | None) -> Sprint:
    """Random slates for `num_envs` lives at once."""
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
    items = int(catalog.partition(":")[2] or 1000)
    rng = np.random.default_rng(0)
    actions = [{"slate": rng.integers(items, size=(num_envs, SLATE_SIZE))} for _ in range(20)]

    def sprint() -> int:
        for action in actions:
            envs.step(action)
        return len(actions) * num_envs

    return sprint


def single(catalog: str, scenario: str) -> Sprint:
    """Random slates for one life after the other, words included."""
    env = Lifelong(catalog, scenario, SLATE_SIZE)
    env.reset(seed=0)
    items = len(env.world.catalog)
    rng = np.random.default_rng(0)
    actions = [{"slate": rng.integers(items, size=SLATE_SIZE)} for _ in range(1000)]

    def sprint() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(actions)

    return sprint


def sardine_peer() -> Sprint:
    """SARDINE's users, 1,000 items and slates of 10 likewise, through Gymnasium's vectorization."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("sardine")

        name = "sardine/SlateTopK-BoredInf-v0"
        envs = gym.vector.SyncVectorEnv([lambda: gym.make(name)] * 8)
        envs.reset(seed=0)
    actions = [envs.action_space.sample() for _ in range(20)]

    def sprint() -> int:
        for action in actions:
            envs.step(action)
        return len(actions) * envs.num_envs

    return sprint


def _row(what: str, value: float, unit: str, bar: float | None) -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "bar": bar}
