"""The oracles against the truth they are shown."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, permutations
from typing import Any

import numpy as np

from tasteshift.agents.oracle import FrozenOracle, Oracle


def test_the_oracle_finds_the_best_of_all_slates(
    new_env: Callable[..., Any], new_life: Callable[..., Any]
) -> None:
    env = new_env(catalog="synthetic:6", slate_size=2, sessions=1, turns=3)
    life = new_life(env, Oracle(), user=3)
    safe = np.flatnonzero(~env.world.unsuitable(3)).tolist()
    every = [(item,) for item in safe] + [
        order for pair in combinations(safe, 2) for order in permutations(pair)
    ]
    while not life.over:
        best = max(env.truth.expected(slate) for slate in every)
        life.turn()
        assert life.expected[-1] == best


def test_the_frozen_oracle_is_the_oracle_until_tastes_move(
    new_env: Callable[..., Any], new_life: Callable[..., Any]
) -> None:
    still, moving = new_env("stationary"), new_env("abrupt-shift")
    assert new_life(still, FrozenOracle(), user=8).play().expected == (
        new_life(still, Oracle(), user=8).play().expected
    )
    frozen = new_life(moving, FrozenOracle(), user=8).play().expected
    oracle = new_life(moving, Oracle(), user=8).play().expected
    assert frozen[:5] == oracle[:5]
    assert sum(frozen[-10:]) < 0.8 * sum(oracle[-10:])


def test_oracles_show_nothing_unsuitable(
    new_env: Callable[..., Any], new_life: Callable[..., Any]
) -> None:
    env = new_env("minor-profile")
    for agent in (Oracle(), FrozenOracle()):
        life = new_life(env, agent, user=int(env.world.eligible_users()[0])).play()
        assert all(env.truth.breaches(slate) == 0 for slate in life.slates)
