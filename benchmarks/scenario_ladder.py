"""The ladder: whether every scenario tells good agents from bad ones.

On each scenario random < popular < frozen oracle ≤ ceiling. Where tastes change the frozen oracle
loses a quarter of the room; where nothing changes it is the oracle. A linear bandit on the best
public features leaves at least LEAST_ROOM of the room between random and ceiling to agents that
do better. The ceiling is the better of the oracle of the moment and the one that plans.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agents import make_agent
from ..envs.lifelong import Lifelong
from ..envs.simulator.scenarios import SCENARIOS
from ..envs.simulator.training_log import public_data
from ..metrics.statistics import Estimate, ratio_interval
from ..suites.engine.stepping import play_episode

RUNGS = ("random", "popular", "frozen-oracle", "oracle", "oracle-plan", "linucb")
LEAST_ROOM = 0.15
LEAST_FROZEN_LOSS = 0.25
CHANGES = ("drift", "shift", "recurring", "transient", "satiation", "influence")
"""Dynamics under which the frozen oracle must lose; the presets keep their published strength."""


@dataclass(frozen=True)
class Rungs:
    """One scenario's ladder, as shares of the room between random (0) and the ceiling (1).

    reward  policy -> expected reward per life
    share   policy -> its place between random and ceiling, with a 95 % interval over users
    """

    scenario: str
    users: int
    reward: dict[str, float]
    share: dict[str, Estimate]

    @property
    def holds(self) -> bool:
        """Whether the rungs are in order and far enough apart."""
        popular, frozen = self.share["popular"].value, self.share["frozen-oracle"].value
        highest = 1 - LEAST_FROZEN_LOSS if changing(self.scenario) else 1.0
        in_order = 0 < popular < frozen <= highest
        return in_order and self.share["linucb"].value <= 1 - LEAST_ROOM

    def row(self) -> dict[str, Any]:
        """JSON values."""
        shares = {
            name: {"value": one.value, "low": one.low, "high": one.high}
            for name, one in self.share.items()
        }
        return {
            "scenario": self.scenario,
            "users": self.users,
            "reward": self.reward,
            "share_of_room": shares,
            "holds": self.holds,
        }


def changing(scenario: str) -> bool:
    """Whether tastes change in a scenario."""
    spec = SCENARIOS.get(scenario)
    return any(getattr(spec, name) is not None for name in CHANGES)


def ladder(
    catalog: str = "movielens-100k",
    users: int = 40,
    scenarios: Sequence[str] | None = None,
    workers: int = 1,
) -> Iterator[Rungs]:
    """The rungs of each scenario, lived by `users` users of world 0, in the registry's order."""
    from joblib import Parallel, delayed

    names = list(scenarios or SCENARIOS.names())
    pool = Parallel(n_jobs=workers, return_as="generator")
    yield from pool(delayed(rungs)(catalog, name, users) for name in names)


def rungs(catalog: str, scenario: str, users: int) -> Rungs:
    """One scenario's ladder."""
    env = Lifelong(catalog, scenario)
    rows = env.world.sample_users(0, min(users, len(env.world.eligible_users())))
    earned = {name: _earned(env, name, rows) for name in RUNGS}
    ceiling = max(("oracle", "oracle-plan"), key=lambda name: earned[name].sum())
    room = earned[ceiling] - earned["random"]
    share = {}
    for name in RUNGS:
        place = ratio_interval(earned[name] - earned["random"], room)
        assert place is not None, f"the ceiling does not beat random on {scenario}"
        share[name] = place
    reward = {name: float(total.mean()) for name, total in earned.items()}
    return Rungs(scenario, len(rows), reward, share)


def _earned(env: Lifelong, name: str, users: Sequence[int]) -> NDArray[np.float64]:
    """(users) the sum of E[reward | slate, state] over each life, which has less noise."""
    agent = make_agent(name)
    agent.prepare(public_data(env.world))
    lives = (play_episode(env, agent, task="ladder", seed=0, user=u, policy=name) for u in users)
    return np.array([sum(step.expected for step in life.steps) for life in lives])
