"""Charts: the catalog's popularity in a cycle, manipulated values included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tasteshift.agents.charts import LENGTH, ChartsAgent
from tasteshift.agents.popular import PopularAgent
from tasteshift.envs.catalogs.public import PublicData
from tasteshift.envs.simulator.training_log import public_data
from tasteshift.envs.simulator.world import build_world
from tasteshift.records import Brief, Observation

BRIEF = Brief(user=0, seed=11, slate_size=4, sessions=2, turns=3, age_group="unknown")
ANY = Observation(user=0, day=0, session=0, turn=0, steps_left=6)


def test_charts_rank_by_the_catalogs_popularity(small_public: PublicData) -> None:
    popularity = np.zeros(60)
    popularity[[9, 3, 30]] = 0.5, 0.3, 0.2
    catalog = replace(small_public.catalog, popularity=popularity)
    agent = ChartsAgent()
    agent.prepare(replace(small_public, catalog=catalog))
    assert agent.start(BRIEF).act(ANY).slate == (9, 3, 30, 0)


def test_the_cycle_repeats_after_forty_items(
    small_public: PublicData, new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    agent = ChartsAgent()
    agent.prepare(small_public)
    assert agent.config() == {"length": 40}
    slates = new_episode(new_env(slate_size=5), agent, user=5).play().slates
    assert slates[8:16] == slates[:8]
    assert len({item for slate in slates for item in slate}) == LENGTH


def test_charts_show_poisoned_items_and_popular_does_not() -> None:
    world = build_world("synthetic", "poisoned-items", 5)
    shares = []
    for agent in (ChartsAgent(), PopularAgent()):
        agent.prepare(public_data(world))
        session = agent.start(replace(BRIEF, slate_size=5))
        slates = [session.act(ANY).slate for _ in range(8)]
        shares.append(np.mean([world.tampered[list(slate)].any() for slate in slates]))
    assert shares[0] >= 0.8
    assert shares[1] == pytest.approx(0)
