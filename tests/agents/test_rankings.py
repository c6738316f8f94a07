"""random, popular, and sessions that follow a ranking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from tasteshift.agents.popular import PopularAgent
from tasteshift.agents.random import RandomAgent
from tasteshift.agents.ranking import RankingSession
from tasteshift.envs.catalogs.public import PublicData, TrainingLog
from tasteshift.records import Brief, Observation

BRIEF = Brief(user=0, seed=11, slate_size=2, sessions=2, turns=3, age_group="adult")
ANY = Observation(user=0, day=0, session=0, turn=0, steps_left=6)


def test_popular_ranks_by_count(small_public: PublicData) -> None:
    items = np.array([7, 3, 3, 9, 7, 3, 12])
    log = TrainingLog(2, np.zeros(7, dtype=int), items, np.ones(7))
    agent = PopularAgent()
    agent.prepare(replace(small_public, log=log))
    session = agent.start(BRIEF)
    shown = [item for _ in range(3) for item in session.act(ANY).slate]
    assert shown == [3, 7, 9, 12, 0, 1]


def test_popular_counts_the_real_log(
    small_public: PublicData, new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    agent = PopularAgent()
    agent.prepare(small_public)
    count = np.bincount(small_public.log.item, minlength=60)
    episode = new_episode(new_env(sessions=2, turns=3), agent, user=5).play()
    shown = [item for slate in episode.slates for item in slate]
    assert sorted(count)[::-1][: len(shown)] == count[shown].tolist()


def test_a_ranking_starts_over_at_its_end() -> None:
    session = RankingSession(np.array([4, 2, 0, 1, 3]), BRIEF)
    slates = [session.act(ANY).slate for _ in range(5)]
    assert slates == [(4, 2), (0, 1), (3, 4), (2, 0), (1, 3)]


def test_a_slate_is_at_most_the_ranking() -> None:
    session = RankingSession(np.array([1, 0]), replace(BRIEF, slate_size=5))
    assert [session.act(ANY).slate for _ in range(2)] == [(1, 0), (1, 0)]


def test_random_depends_on_the_agent_seed_only(small_public: PublicData) -> None:
    agent = RandomAgent()
    agent.prepare(small_public)
    one, same = agent.start(BRIEF), agent.start(replace(BRIEF, user=3, age_group="child"))
    other = agent.start(replace(BRIEF, seed=12))
    first = [one.act(ANY) for _ in range(4)]
    assert first == [same.act(ANY) for _ in range(4)]
    assert first != [other.act(ANY) for _ in range(4)]


@pytest.mark.parametrize("position", [0, 1])
def test_random_is_uniform_at_every_position(small_public: PublicData, position: int) -> None:
    agent = RandomAgent()
    agent.prepare(small_public)
    session = agent.start(BRIEF)
    shown = [session.act(ANY).slate[position] for _ in range(6000)]
    assert chisquare(np.bincount(shown, minlength=60)).pvalue > 1e-4
