"""Tune the agent `linucb` on an environment seed that no suite uses; print every setting tried.

    python examples/tune_linucb.py

The score of a setting is its expected reward, normalized between random (0) and the oracle (1),
on `stationary` and on `abrupt-shift`; the defaults in agents/linucb.py have the best mean.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np

from tasteshift.agents import make_agent
from tasteshift.agents.linucb import LinUcbAgent
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.simulator.training_log import public_data
from tasteshift.suites.engine.stepping import play_episode

ALPHAS, NOISES, REFUSALS = (0.0, 0.1, 0.2, 0.4), (0.2, 0.4, 0.8), (0.03, 0.1, 0.3)


def earned(env: Lifelong, agent, users: tuple[int, ...], seed: int) -> float:
    """Total expected reward of all episodes."""
    agent.prepare(public_data(env.world))
    episodes = (
        play_episode(env, agent, task="tune", seed=seed, user=u, policy="agent") for u in users
    )
    return float(sum(step.expected for episode in episodes for step in episode.steps))


def main() -> None:
    """Evaluate the grid and print it, best first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--catalog", default="movielens-100k")
    parser.add_argument("--users", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1000)
    given = parser.parse_args()
    scores: dict[tuple[float, ...], list[float]] = {}
    for scenario in ("stationary", "abrupt-shift"):
        env = Lifelong(given.catalog, scenario)
        users = env.world.sample_users(given.seed, given.users)
        low, high = (earned(env, make_agent(n), users, given.seed) for n in ("random", "oracle"))
        for setting in product(ALPHAS, NOISES, REFUSALS):
            reward = earned(env, LinUcbAgent(*setting), users, given.seed)
            scores.setdefault(setting, []).append((reward - low) / (high - low))
    print("alpha noise refusal  stationary abrupt-shift")
    for setting, (fixed, shifted) in sorted(scores.items(), key=lambda item: -np.mean(item[1])):
        print("{:5} {:5} {:7}".format(*setting), f" {fixed:10.3f} {shifted:12.3f}")


if __name__ == "__main__":
    main()
