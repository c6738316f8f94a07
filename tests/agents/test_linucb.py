"""LinUCB against the paper's formulas, and against simpler agents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.agents import make_agent
from tasteshift.agents.linucb import LinUcb, LinUcbAgent, LinUcbSession
from tasteshift.envs.catalogs.public import PublicData
from tasteshift.records import Brief, Observation


def test_two_arms_by_hand() -> None:
    """Arm 0 has feature 1, arm 1 has feature 2, in one dimension; rewards 1 and then 0.

    A: 1 → 1 + 1 = 2 → 2 + 4 = 6; b: 0 → 1 → 1. So θ = 1/2, then 1/6.
    """
    learner = LinUcb(np.array([[1.0], [2.0]]), np.zeros(2))
    assert learner.upper_bound(0.5) == pytest.approx([0.5, 1.0])
    learner.observe(0, 1.0)
    assert learner.upper_bound(0.5) == pytest.approx(
        [1 / 2 + 0.5 * np.sqrt(1 / 2), 1 + 0.5 * np.sqrt(4 / 2)]
    )
    learner.observe(1, 0.0)
    assert learner.upper_bound(0.5) == pytest.approx(
        [1 / 6 + 0.5 * np.sqrt(1 / 6), 2 / 6 + 0.5 * np.sqrt(4 / 6)]
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    rewards=st.lists(st.floats(0, 1), max_size=40),
    dimensions=st.integers(1, 8),
)
def test_updates_equal_the_direct_inverse(seed: int, rewards: list[float], dimensions: int) -> None:
    """A⁻¹, θᵀx and xᵀA⁻¹x after every update, from A = I + Σ x xᵀ and b = Σ x r in full."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(12, dimensions))
    learner = LinUcb(features, np.zeros(12))
    matrix, vector = np.eye(dimensions), np.zeros(dimensions)
    for arm, reward in zip(rng.integers(12, size=len(rewards)), rewards, strict=True):
        learner.observe(int(arm), reward)
        matrix += np.outer(features[arm], features[arm])
        vector += reward * features[arm]
    inverse = np.linalg.inv(matrix)
    np.testing.assert_allclose(learner.inverse, inverse, atol=1e-9)
    np.testing.assert_allclose(learner.estimate, features @ inverse @ vector, atol=1e-9)
    np.testing.assert_allclose(
        learner.variance, np.einsum("nd,de,ne->n", features, inverse, features), atol=1e-9
    )


def test_learning_starts_from_the_prior_estimate() -> None:
    """With prior rewards r₀ the algorithm learns the residual r − r₀."""
    features, before = np.array([[1.0], [2.0]]), np.array([0.3, 0.4])
    learner, plain = LinUcb(features, before), LinUcb(features, np.zeros(2))
    learner.observe(0, 1.0)
    plain.observe(0, 0.7)
    np.testing.assert_allclose(learner.estimate, before + plain.estimate)


def test_alpha_controls_exploration() -> None:
    """A well-known arm against an unknown one with a slightly lower estimate."""
    learner = LinUcb(np.eye(2), np.array([0.5, 0.45]))
    for _ in range(50):
        learner.observe(0, 0.5)
    assert learner.upper_bound(0.0).argmax() == 0
    assert learner.upper_bound(0.5).argmax() == 1


def observation(slate: tuple[int, ...], chosen: int, rating: float) -> Observation:
    return Observation(0, 0, 0, 1, 5, slate, chosen, rating)


def test_a_session_learns_from_shown_items() -> None:
    session = LinUcbSession(LinUcb(np.eye(4), np.full(4, 0.5)), 2, alpha=0.0, rest=0)
    assert session.act(Observation(0, 0, 0, 0, 6)).slate == (0, 1)
    slate = session.act(observation((0, 1), chosen=1, rating=0.9)).slate
    assert slate == (1, 2)  # 0.5 + (0.9 − 0.5)/2 = 0.7 for item 1; 0.25 for item 0
    assert session.act(observation((1, 2), chosen=-1, rating=0.0)).slate == (3, 1)


def test_a_chosen_item_is_not_repeated_at_once() -> None:
    session = LinUcbSession(LinUcb(np.eye(4), np.array([0.9, 0.8, 0.1, 0.0])), 1, 0.0, rest=2)
    shown = [session.act(Observation(0, 0, 0, 0, 6)).slate[0]]
    for _ in range(4):
        last = shown[-1]
        shown.append(session.act(observation((last,), last, 1.0)).slate[0])
    assert shown == [0, 1, 2, 0, 1]


def test_a_slate_can_be_as_long_as_the_catalog() -> None:
    session = LinUcbSession(LinUcb(np.eye(3), np.zeros(3)), 5, 0.1, rest=20)
    assert sorted(session.act(Observation(0, 0, 0, 0, 6)).slate) == [0, 1, 2]


def test_sessions_start_with_the_log(films: PublicData) -> None:
    """A user's liked items of the log have higher estimates than for an unknown user."""
    agent = LinUcbAgent()
    agent.prepare(films)
    unknown = LinUcb(agent._features, agent._pooled).estimate
    gains = []
    for user in range(40):
        mine = films.log.user == user
        liked = films.log.item[mine][films.log.rating[mine] > 0.7]
        session = agent.start(Brief(user, 0, 5, 1, 1, "adult"))
        gains += list((session._learner.estimate - unknown)[liked])
    assert np.mean(np.array(gains) > 0) > 0.9


def test_it_beats_random_and_popular(
    films: PublicData, new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    """40 users of the stationary scenario, expected reward per turn, paired by user."""
    env = new_env(catalog="movielens-100k", sessions=4)
    means = {}
    for name in ("random", "popular", "linucb"):
        agent = make_agent(name)
        agent.prepare(films)
        episodes = [
            new_episode(env, agent, user).play() for user in env.world.sample_users(1000, 40)
        ]
        means[name] = np.array([np.mean(episode.expected) for episode in episodes])
    for other in ("random", "popular"):
        gain = means["linucb"] - means[other]
        assert gain.mean() > 4 * gain.std(ddof=1) / np.sqrt(len(gain))
