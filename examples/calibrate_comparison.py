"""False positive rate of `tasteshift compare`: the same agent compared with itself.

    python examples/calibrate_comparison.py

Episodes run once. Every repetition then draws two disjoint groups of users for one agent
(unpaired comparison), and one group of users with two agent seeds of `random` (paired comparison).
All are compared by normalized return; 5 % of the comparisons may find a difference.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from scipy.stats import binomtest

from tasteshift.agents import make_agent
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.simulator.training_log import public_data
from tasteshift.metrics.comparison import linearized, paired_difference, unpaired_difference
from tasteshift.suites.engine.episode_runner import EpisodeRunner
from tasteshift.suites.engine.in_process_agent import InProcessAgent
from tasteshift.suites.engine.stepping import play_in_lockstep

LEVEL = 0.05
RANDOM_SEEDS = 4


def totals(env: Lifelong, name: str, users: tuple[int, ...], salt: int = 0) -> np.ndarray:
    """Total reward of each user's episode; `salt` changes the agent's own seed."""
    agent = make_agent(name)
    if name != "oracle":
        agent.prepare(public_data(env.world))
    rewards = []
    for user in users:
        episode = EpisodeRunner(env, task="calibration", seed=0, user=user, policy=name)
        episode.brief = replace(episode.brief, seed=episode.brief.seed ^ salt)
        (result,) = play_in_lockstep(InProcessAgent(agent, trusted=True), [episode])
        rewards.append(sum(result.episode.rewards))
    return np.array(rewards)


def main() -> None:
    """Run the episodes, then draw, compare and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--catalog", default="movielens-100k")
    parser.add_argument("--scenario", default="gradual-drift")
    parser.add_argument("--users", type=int, default=300, help="users in total")
    parser.add_argument("--group", type=int, default=30, help="users in one sample")
    parser.add_argument("--repetitions", type=int, default=200)
    given = parser.parse_args()
    env = Lifelong(given.catalog, given.scenario, sessions=5, turns=4)
    users = env.world.sample_users(0, given.users)
    by_seed = np.array([totals(env, "random", users, salt=k) for k in range(RANDOM_SEEDS)])
    floor, ceiling = by_seed[0], totals(env, "oracle", users)
    rng = np.random.default_rng(0)
    tests = {}
    for name in ("popular", "linucb"):
        gained, room = totals(env, name, users) - floor, ceiling - floor

        def samples(gained: np.ndarray = gained, room: np.ndarray = room):
            drawn = rng.permutation(given.users)[: 2 * given.group]
            halves = (drawn[: given.group], drawn[given.group :])
            return unpaired_difference(*(linearized(gained[half], room[half]) for half in halves))

        tests[f"{name}, other users"] = samples

    def pairs():
        drawn = rng.permutation(given.users)[: given.group]
        one, other = np.argsort(rng.random((RANDOM_SEEDS, given.group)), axis=0)[:2]
        return paired_difference(
            by_seed[one, drawn], by_seed[other, drawn], (ceiling - floor)[drawn]
        )

    tests["random, other agent seed"] = pairs
    for name, test in tests.items():
        found = [test() for _ in range(given.repetitions)]
        print(f"{name}: {given.repetitions} comparisons, {given.group} users in each sample")
        for what, wrong in (
            ("p-value at most 5 %", sum(one.p <= LEVEL for one in found)),
            ("interval without 0", sum(not one.low <= 0 <= one.high for one in found)),
        ):
            reach = binomtest(wrong, given.repetitions).proportion_ci(0.95)
            print(f"  {what}: {wrong / given.repetitions:.1%} [{reach.low:.1%}, {reach.high:.1%}]")


if __name__ == "__main__":
    main()
