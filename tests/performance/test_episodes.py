"""Turns per second of recorded episodes and of populations; recorded, not bounded."""

import numpy as np
import pytest

from tasteshift.agents import make_agent
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.simulator.population import initial_population
from tasteshift.envs.simulator.training_log import public_data
from tasteshift.envs.simulator.turn import advance, respond
from tasteshift.envs.simulator.world import build_world
from tasteshift.suites.engine.stepping import play_episode


@pytest.mark.parametrize("agent", ["random", "oracle"])
def test_a_recorded_episode(benchmark, agent):
    env, policy = Lifelong(scenario="gradual-drift"), make_agent(agent)
    policy.prepare(public_data(env.world))
    episode = benchmark(play_episode, env, policy, task="bench", seed=0, user=3, policy=agent)
    benchmark.extra_info["turns_per_s"] = len(episode.steps) / benchmark.stats.stats.median
    assert len(episode.steps) == env.world.turns


@pytest.mark.parametrize("users", [1, 64, 943])
def test_turns_of_a_population(benchmark, users):
    world = build_world("movielens-100k", "gradual-drift", 5)
    now = initial_population(world, 0, np.arange(users))
    slates = np.random.default_rng(0).integers(len(world.catalog), size=(users, 5))

    def turn():
        return advance(world, now, slates, respond(world, now, slates))

    assert len(benchmark(turn).user) == users
    benchmark.extra_info["user_turns_per_s"] = users / benchmark.stats.stats.median
