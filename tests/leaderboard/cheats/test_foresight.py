"""Agents that live the future before they recommend.

Who has the simulator, the public seeds and the users can step a copy of the world, watch which
copy the user behaves like, and show what that copy will enjoy most, its luck included.
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
    """Knows the lives of a public suite, and believes the one that fits what it has seen."""

    name = "future-simulator"

    def __init__(self, suite):
        self.suite = suite

    def config(self):
        return {}

    def __deepcopy__(self, memo):
        return self

    def prepare(self, public):
        self.honest = LinUcbAgent()
        self.honest.prepare(public)
        suite = find_suite(self.suite)
        (self.task,) = suite.tasks
        self.lives = np.array(self.task.episodes(suite.seeds))
        self.world = build_world(self.task.catalog, self.task.spec(), self.task.slate_size)
        known = {name: row for row, name in enumerate(self.world.catalog.item_id)}
        self.there = np.array([known[name] for name in public.catalog.item_id])
        self.here = np.argsort(self.there)

    def suspects(self, brief):
        """Seeds and users that this might be."""
        return self.lives.T

    def start(self, brief):
        seeds, users = self.suspects(brief)
        return Foresight(
            self, self.honest.start(brief), initial_population(self.world, seeds, users)
        )


class SeedSearch(FutureSimulator):
    """Knows no seeds, and tries as many as it can: those that hash to its own, else from 0 on."""

    name = "seed-search"
    seeds = 2048

    def suspects(self, brief):
        tried = np.arange(self.seeds)
        for seed in range(self.seeds):
            text = f"tasteshift agent {seed} {brief.user}".encode()
            if int.from_bytes(sha256(text).digest()[:8], "big") >> 1 == brief.seed:
                tried = np.array([seed])
        return tried, np.full(len(tried), brief.user)


class Foresight:
    """Steps all suspects alongside the user; plays as if honest until one is left and proved."""

    def __init__(self, cheat, honest, now):
        self.cheat, self.honest, self.now = cheat, honest, now
        self.proved, self.shown = False, None
        self.rng = np.random.default_rng(0)

    def act(self, seen):
        world = self.cheat.world
        if self.shown is not None and len(self.now):
            chosen = NOTHING if seen.chosen == NOTHING else self.cheat.there[seen.chosen]
            slates = np.tile(self.shown, (len(self.now), 1))
            response = respond(world, self.now, slates)
            fits = (response.chosen == chosen) & (response.reward == seen.rating)
            self.proved |= chosen != NOTHING
            self.now = take_rows(advance(world, self.now, slates, response), np.flatnonzero(fits))
        action = self.honest.act(seen)
        if self.proved and len(self.now) == 1:
            action = replace(action, slate=tuple(self.cheat.here[self.best()].tolist()))
        self.shown = np.full(world.slate_size, NOTHING)
        self.shown[: len(action.slate)] = self.cheat.there[list(action.slate)]
        return action

    def best(self):
        """Of many promising slates the one that will please most."""
        world = self.cheat.world
        utility, reward = appraise(world, self.now)
        likely = np.argsort(-reward, kind="stable")[:LIKELY]
        slates = np.array([self.rng.permutation(likely)[: world.slate_size] for _ in range(TRIED)])
        oracle, _ = best_slate(utility, reward, world.outside_utility, world.slate_size)
        slates[0, : len(oracle)] = oracle
        outcome = respond(world, take_rows(self.now, np.zeros(TRIED, dtype=np.int64)), slates)
        return slates[outcome.reward.argmax()]


@pytest.mark.parametrize("cheat", [FutureSimulator, SeedSearch])
def test_living_the_future_first_pays_on_public_seeds_only(cheat, arena, no_gain):
    field = arena("synthetic")
    no_gain(field.compare(cheat.name, LinUcbAgent, lambda: cheat(field.suite.id)))


def test_the_future_simulator_outdoes_even_the_oracle_where_it_works(arena):
    """It knows what luck will bring; otherwise it would be no cheat worth a defence."""
    field = arena("synthetic")
    cheating = field.public(lambda: FutureSimulator(field.suite.id))
    assert cheating.mean() > field.yardsticks["public"][1].mean()


def test_trying_keys_would_take_longer_than_there_is(capsys):
    """How fast one core tries keys against the order of the items, which a player is shown, and
    seeds against one outcome, for somebody who was handed the world itself."""
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
            f"core-years\nseeds of one life in a known world: {seeds:,.0f} a second and core, 2^62 "
            f"needed on average, {years['seed']:,.0f} core-years"
        )
    assert years["key"] > 1e50
    assert years["seed"] > 1000
