"""Agents that simulate the future before they recommend.

With the simulator, public seeds and users, an agent can step copies of the environment, find the
copy that the user behaves like, and recommend what that copy will enjoy most, random draws
included.
"""

from dataclasses import replace
from hashlib import sha256
from time import perf_counter

import numpy as np
import pytest

from tasteshift.agents.linucb import LinUcbAgent
from tasteshift.envs.catalogs.load import load_data
from tasteshift.envs.catalogs.resampling.keyed_random import KeyedRandom
from tasteshift.envs.numerics.philox import uniform
from tasteshift.envs.reference.optimal_slate import appraise, best_slate
from tasteshift.envs.simulator.population import initial_population, take_rows
from tasteshift.envs.simulator.turn import advance, respond
from tasteshift.envs.simulator.world import build_world
from tasteshift.records import NOTHING
from tasteshift.suites.suite import find_suite

TRIED = 256
LIKELY = 60
YEAR = 365.25 * 86400


class FutureSimulator:
    """Knows the episodes of a public suite and uses the one that matches its observations."""

    name = "future-simulator"

    def __init__(self, suite):
        self.suite = suite

    def config(self):
        return {}

    def __deepcopy__(self, memo):
        return self

    def prepare(self, public):
        self.baseline = LinUcbAgent()
        self.baseline.prepare(public)
        suite = find_suite(self.suite)
        (self.task,) = suite.tasks
        self.episodes = np.array(self.task.episodes(suite.seeds))
        self.world = build_world(self.task.catalog, self.task.spec(), self.task.slate_size)
        known = {name: row for row, name in enumerate(self.world.catalog.item_id)}
        self.to_world = np.array([known[name] for name in public.catalog.item_id])
        self.to_catalog = np.argsort(self.to_world)

    def candidates(self, brief):
        """Seeds and users of the candidate episodes."""
        return self.episodes.T

    def start(self, brief):
        seeds, users = self.candidates(brief)
        return Foresight(
            self, self.baseline.start(brief), initial_population(self.world, seeds, users)
        )


class SeedSearch(FutureSimulator):
    """Tries seeds: those that hash to the agent's own seed, else all from 0 on."""

    name = "seed-search"
    seeds = 2048

    def candidates(self, brief):
        tried = np.arange(self.seeds)
        for seed in range(self.seeds):
            text = f"tasteshift agent {seed} {brief.user}".encode()
            if int.from_bytes(sha256(text).digest()[:8], "big") >> 1 == brief.seed:
                tried = np.array([seed])
        return tried, np.full(len(tried), brief.user)


class Foresight:
    """Steps all candidates beside the user; plays the baseline until one confirmed one is left."""

    def __init__(self, cheat, baseline, now):
        self.cheat, self.baseline, self.now = cheat, baseline, now
        self.confirmed, self.slate = False, None
        self.rng = np.random.default_rng(0)

    def act(self, seen):
        world = self.cheat.world
        if self.slate is not None and len(self.now):
            chosen = NOTHING if seen.chosen == NOTHING else self.cheat.to_world[seen.chosen]
            slates = np.tile(self.slate, (len(self.now), 1))
            response = respond(world, self.now, slates)
            fits = (response.chosen == chosen) & (response.reward == seen.rating)
            self.confirmed |= chosen != NOTHING
            self.now = take_rows(advance(world, self.now, slates, response), np.flatnonzero(fits))
        action = self.baseline.act(seen)
        if self.confirmed and len(self.now) == 1:
            action = replace(action, slate=tuple(self.cheat.to_catalog[self.best()].tolist()))
        self.slate = np.full(world.slate_size, NOTHING)
        self.slate[: len(action.slate)] = self.cheat.to_world[list(action.slate)]
        return action

    def best(self):
        """The best of many promising slates under the simulated outcome."""
        world = self.cheat.world
        utility, reward = appraise(world, self.now)
        likely = np.argsort(-reward, kind="stable")[:LIKELY]
        slates = np.array([self.rng.permutation(likely)[: world.slate_size] for _ in range(TRIED)])
        oracle, _ = best_slate(utility, reward, world.outside_utility, world.slate_size)
        slates[0, : len(oracle)] = oracle
        outcome = respond(world, take_rows(self.now, np.zeros(TRIED, dtype=np.int64)), slates)
        return slates[outcome.reward.argmax()]


@pytest.mark.parametrize("cheat", [FutureSimulator, SeedSearch])
def test_simulating_the_future_gains_on_public_seeds_only(cheat, arena, no_gain):
    field = arena("synthetic")
    no_gain(field.compare(cheat.name, LinUcbAgent, lambda: cheat(field.suite.id)))


def test_the_future_simulator_exceeds_the_oracle_on_public_seeds(arena):
    """It knows the random draws, which the oracle does not."""
    field = arena("synthetic")
    cheating = field.public(lambda: FutureSimulator(field.suite.id))
    assert cheating.mean() > field.reference_returns["public"][1].mean()


def test_trying_all_keys_is_infeasible(capsys):
    """Measure how fast one core tries keys against the item order, which agents see, and seeds
    against one outcome in a known environment."""
    n, tries = len(load_data("synthetic").public), 200
    start = perf_counter()
    for k in range(tries):
        KeyedRandom(k.to_bytes(32, "big")).permutation("order", n)
    keys = tries / (perf_counter() - start)
    start = perf_counter()
    uniform(np.arange(10**6), 17, 3, 4, 5)
    seeds = 10**6 / (perf_counter() - start)
    years = {"key": 2.0**255 / keys / YEAR, "seed": 2.0**62 / seeds / YEAR}
    with capsys.disabled():
        print(
            f"\nkeys: {keys:,.0f} a second and core, 2^255 needed on average, {years['key']:.1e} "
            f"core-years\nseeds of one episode in a known environment: {seeds:,.0f} a second and "
            f"core, 2^62 needed on average, {years['seed']:,.0f} core-years"
        )
    assert years["key"] > 1e50
    assert years["seed"] > 1000
