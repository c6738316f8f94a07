"""Scenario difficulty: whether every scenario separates strong policies from weak ones.

On each scenario random < popular < frozen oracle ≤ ceiling must hold. Where tastes change, the
frozen oracle must lose at least `MIN_FROZEN_LOSS` of the range between random and ceiling; where
nothing changes it is the oracle. A linear bandit on the best public features must leave at least
`MIN_HEADROOM` of that range to better agents. The ceiling is the better of the oracle and the
oracle that plans ahead.
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

POLICIES = ("random", "popular", "frozen-oracle", "oracle", "oracle-plan", "linucb")
MIN_HEADROOM = 0.15
MIN_FROZEN_LOSS = 0.25
CHANGES = ("drift", "shift", "recurring", "transient", "satiation", "influence")
"""Dynamics under which the frozen oracle must lose; the presets keep their published strength."""


@dataclass(frozen=True)
class ScenarioDifficulty:
    """Returns of the policies on one scenario.

    returns     policy -> mean expected reward per episode
    normalized  policy -> its return between random (0) and the ceiling (1), with a 95 % interval
                over users
    """

    scenario: str
    users: int
    returns: dict[str, float]
    normalized: dict[str, Estimate]

    @property
    def passes(self) -> bool:
        """Whether the policies are in order and far enough apart."""
        popular = self.normalized["popular"].value
        frozen = self.normalized["frozen-oracle"].value
        most = 1 - MIN_FROZEN_LOSS if changing(self.scenario) else 1.0
        in_order = 0 < popular < frozen <= most
        return in_order and self.normalized["linucb"].value <= 1 - MIN_HEADROOM

    def row(self) -> dict[str, Any]:
        """A flat row of JSON values; policies' names with underscores end the keys."""
        row: dict[str, Any] = {"name": self.scenario, "users": self.users, "passes": self.passes}
        for policy in POLICIES:
            suffix, share = policy.replace("-", "_"), self.normalized[policy]
            row[f"return_{suffix}"] = self.returns[policy]
            row[f"normalized_return_{suffix}"] = share.value
            row[f"normalized_return_{suffix}_low"] = share.low
            row[f"normalized_return_{suffix}_high"] = share.high
        return row


def changing(scenario: str) -> bool:
    """Whether tastes change in a scenario."""
    spec = SCENARIOS.get(scenario)
    return any(getattr(spec, name) is not None for name in CHANGES)


def measure_difficulty(
    catalog: str = "movielens-100k",
    users: int = 40,
    scenarios: Sequence[str] | None = None,
    workers: int = 1,
) -> Iterator[ScenarioDifficulty]:
    """Difficulty of each scenario, by default all, on `users` users of environment seed 0."""
    from joblib import Parallel, delayed

    names = list(scenarios or SCENARIOS.names())
    pool = Parallel(n_jobs=workers, return_as="generator")
    yield from pool(delayed(difficulty_of)(catalog, name, users) for name in names)


def difficulty_of(catalog: str, scenario: str, users: int) -> ScenarioDifficulty:
    """Run all policies on one scenario."""
    env = Lifelong(catalog, scenario)
    rows = env.world.sample_users(0, min(users, len(env.world.eligible_users())))
    earned = {name: _expected_returns(env, name, rows) for name in POLICIES}
    ceiling = max(("oracle", "oracle-plan"), key=lambda name: earned[name].sum())
    width = earned[ceiling] - earned["random"]
    normalized = {}
    for name in POLICIES:
        share = ratio_interval(earned[name] - earned["random"], width)
        assert share is not None, f"the ceiling does not beat random on {scenario}"
        normalized[name] = share
    returns = {name: float(total.mean()) for name, total in earned.items()}
    return ScenarioDifficulty(scenario, len(rows), returns, normalized)


def _expected_returns(env: Lifelong, name: str, users: Sequence[int]) -> NDArray[np.float64]:
    """(users,) Σ E[reward | slate, state] over each episode, which has less noise than rewards."""
    agent = make_agent(name)
    agent.prepare(public_data(env.world))
    episodes = (
        play_episode(env, agent, task="difficulty", seed=0, user=u, policy=name) for u in users
    )
    return np.array([sum(step.expected for step in one.steps) for one in episodes])
