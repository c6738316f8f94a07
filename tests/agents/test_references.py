"""Reference policies against enumeration and against the ground truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from tasteshift.agents import make_agent
from tasteshift.agents.references import (
    FilteredOracle,
    FrozenOracle,
    Oracle,
    PlanningOracle,
    UnconstrainedOracle,
)
from tasteshift.envs.catalogs.fitting.expected_latents import expected_latents
from tasteshift.envs.catalogs.load import load_data
from tasteshift.envs.reference.counterfactual import simulate_policy
from tasteshift.envs.reference.ground_truth import GroundTruth, expected_traits
from tasteshift.envs.simulator.world import World, build_world
from tasteshift.records import Observation
from tasteshift.suites.engine.conversion import to_observation

SAFE = ["oracle", "frozen-oracle", "oracle-plan", "oracle-text", "oracle-image", "organic"]


def test_the_oracle_finds_the_best_of_all_slates(
    new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    env = new_env(catalog="synthetic:6", slate_size=2, sessions=1, turns=3)
    episode = new_episode(env, Oracle(), user=3)
    while not episode.over:
        safe = np.flatnonzero(env.ground_truth.allowed()).tolist()
        every = [slate for count in range(3) for slate in permutations(safe, count)]
        best = max(env.ground_truth.expected(slate) for slate in every)
        episode.turn()
        assert episode.expected[-1] == best


def test_the_frozen_oracle_is_the_oracle_until_the_shift(
    new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    stationary, shifting = new_env("stationary"), new_env("abrupt-shift")
    assert new_episode(stationary, FrozenOracle(), user=8).play().expected == (
        new_episode(stationary, Oracle(), user=8).play().expected
    )
    frozen = new_episode(shifting, FrozenOracle(), user=8).play().expected
    oracle = new_episode(shifting, Oracle(), user=8).play().expected
    assert frozen[:5] == oracle[:5]
    assert sum(frozen[-10:]) < 0.8 * sum(oracle[-10:])


def test_the_frozen_oracle_knows_repeats_but_not_satiation(
    new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    env = new_env("satiation")
    frozen = new_episode(env, FrozenOracle(), user=8).play()
    oracle = new_episode(env, Oracle(), user=8).play()
    assert frozen.slates[0] == oracle.slates[0]
    assert frozen.slates != oracle.slates
    assert len(set(frozen.slates)) > 10  # chosen items are not repeated, so slates change


@pytest.mark.parametrize("name", SAFE)
def test_safe_policies_show_nothing_unsuitable(
    name: str, new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    for scenario in ("minor-profile", "constraint-change"):
        env = new_env(scenario)
        episode = new_episode(env, make_agent(name), user=int(env.world.eligible_users()[0]))
        while not episode.over:
            action = episode.session.act(None).slate
            assert env.ground_truth.breaches(action) == env.ground_truth.violations(action) == 0
            episode.turn()


def test_the_unconstrained_oracle_finds_the_best_of_all_slates(
    new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    env = new_env("minor-profile", catalog="synthetic:6", slate_size=2, sessions=1, turns=3)
    episode = new_episode(env, UnconstrainedOracle(), user=int(env.world.eligible_users()[0]))
    while not episode.over:
        every = [slate for count in range(3) for slate in permutations(range(6), count)]
        best = max(env.ground_truth.expected(slate) for slate in every)
        assert best >= env.ground_truth.best()[1]
        episode.turn()
        assert episode.expected[-1] == best


def test_items_are_not_shown_before_they_enter(
    new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    env = new_env("cold-item", sessions=4, turns=2)
    for agent in (UnconstrainedOracle(), FilteredOracle()):
        episode = new_episode(env, agent, user=8)
        while not episode.over:
            day = episode.values["day"]
            episode.turn()
            assert (env.world.entry_day[list(episode.slates[-1])] <= day).all()


@pytest.mark.parametrize("age_group", ["child", "teen", "adult", "unknown"])
def test_the_filter_uses_public_fields_only(age_group: str, new_env: Callable[..., Any]) -> None:
    """For several values of `avoid`, the remaining items depend on public fields alone."""
    env = new_env("minor-profile")
    env.reset(seed=0)
    catalog = env.world.catalog
    limit = {"child": 0, "teen": 13, "adult": 18, "unknown": 0}[age_group]
    session = FilteredOracle().start_with_ground_truth(
        replace(env.brief(0), age_group=age_group), env.ground_truth
    )
    for avoid in ((), (0,), (1, 2)):
        slate = session.act(Observation(0, 0, 0, 0, 1, avoid=avoid)).slate
        fit = np.array(
            [
                label <= limit
                and (label >= 0 or age_group == "adult")
                and not catalog.topic[item, list(avoid)].any()
                for item, label in enumerate(catalog.maturity)
            ]
        )
        assert slate == env.ground_truth.best(showable=fit)[0]
        assert fit[list(slate)].all()


def test_safety_costs_reward_and_the_filter_misses_unlabeled_constraints(
    new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    for scenario in ("minor-profile", "constraint-change"):
        env = new_env(scenario, catalog="synthetic")
        violations, earned = [], []
        for name in ("unconstrained-oracle", "filtered-oracle", "oracle"):
            episode = new_episode(env, make_agent(name), user=int(env.world.eligible_users()[3]))
            count = 0
            while not episode.over:
                slate = episode.session.act(to_observation(episode.values)).slate
                count += env.ground_truth.breaches(slate) + env.ground_truth.violations(slate)
                episode.turn()
            violations.append(count)
            earned.append(sum(episode.expected))
        assert violations[0] >= violations[1] > violations[2] == 0
        assert earned[0] > earned[2]


def test_the_planning_oracle_uses_its_horizon(
    new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    env = new_env("satiation", sessions=2, turns=2)
    episode = new_episode(env, PlanningOracle(depth=1, rollout=0), user=8)
    assert episode.play().slates == new_episode(env, Oracle(), user=8).play().slates
    assert PlanningOracle(2, 3).config() == {"depth": 2, "rollout": 3}


def test_expected_traits_are_expectations() -> None:
    data = load_data("synthetic:60")
    both = frozenset({"text", "image"})
    traits = expected_traits("synthetic:60", both)
    d = data.hidden.z.shape[1]
    assert (traits[:, :d] * 2.0**-20 == expected_latents(data, both)).all()
    for column, part in ((d, data.hidden.appeal), (d + 1, data.hidden.quality)):
        assert np.ptp(traits[:, column]) == 0
        assert traits[0, column] * 2.0**-20 == pytest.approx(part.mean(), abs=2.0**-20)
    world = build_world("synthetic:60", "stationary", 3)
    assert (traits[:, d + 2 :] == world.traits[:, d + 2 :]).all()


def test_value_of_modalities() -> None:
    """Random < posters < both, and text < both < all, over 60 users."""
    world = build_world("synthetic:1000", "stationary", 5)
    users = np.array(world.sample_users(0, 60))

    def oracle(*modalities: str) -> Callable[[World, Any], Any]:
        traits = expected_traits("synthetic:1000", frozenset(modalities)) if modalities else None

        def policy(world: World, now: Any) -> Any:
            slates = np.full((len(now), world.slate_size), -1)
            for k, row in enumerate(_one_by_one(now)):
                slate = GroundTruth(world, lambda row=row: row).best(traits=traits)[0]
                slates[k, : len(slate)] = slate
            return slates

        return policy

    def uniform(world: World, now: Any) -> Any:
        rng = np.random.default_rng(int(now.session[0]) * 100 + int(now.turn[0]))
        return np.array([rng.choice(len(world.catalog), 5, replace=False) for _ in now.user])

    short = replace(world, scenario=replace(world.scenario, sessions=3))
    earned = {
        name: float(simulate_policy(short, 0, users, policy).reward.sum())
        for name, policy in {
            "random": uniform,
            "text": oracle("text"),
            "image": oracle("image"),
            "both": oracle("text", "image"),
            "all": oracle(),
        }.items()
    }
    assert earned["random"] < earned["image"] < earned["both"]
    assert earned["text"] < earned["both"] < earned["all"]


def _one_by_one(now: Any) -> Any:
    from tasteshift.envs.simulator.population import take_rows

    return [take_rows(now, np.array([k])) for k in range(len(now))]


def test_the_organic_agent_follows_the_organic_policy(
    new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    from tasteshift.envs.reference.counterfactual import organic_policy

    env = new_env("stationary", sessions=2, turns=2)
    episode = new_episode(env, make_agent("organic"), user=8, seed=4).play()
    episodes = simulate_policy(env.world, 4, np.array([8]), organic_policy)
    assert [list(slate) for slate in episode.slates] == episodes.slates[0].tolist()
