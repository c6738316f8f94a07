"""Counterfactual episodes share all random numbers that the difference does not affect."""

from __future__ import annotations

import numpy as np
import pytest

from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.numerics import philox
from tasteshift.envs.numerics.philox import Purpose
from tasteshift.envs.reference.counterfactual import edit_item, organic_policy, simulate_policy
from tasteshift.envs.simulator.choice import item_traits
from tasteshift.envs.simulator.population import initial_population
from tasteshift.envs.simulator.scenarios import SCENARIOS
from tasteshift.envs.simulator.world import build_world

USERS = np.arange(3, 15)


def shown(*items):
    """The policy that always shows the same slate to every user."""

    def policy(world, now):
        return np.tile(np.array(items), (len(now), 1))

    return policy


def by_turn(world, now):
    """A slate that changes from turn to turn, the same for every user."""
    first = 7 * now.session[:, None] + 3 * now.turn[:, None]
    return (first + np.arange(world.slate_size)) % len(world.catalog)


def equal(one, other, fields=("active", "session", "day", "slates", "chosen", "reward", "taste")):
    return all(
        np.array_equal(getattr(one, f), getattr(other, f), equal_nan=f == "taste") for f in fields
    )


@pytest.mark.parametrize("scenario", SCENARIOS.names())
def test_simulated_episodes_equal_the_environments(scenario):
    env = Lifelong("synthetic:60", scenario, slate_size=3, sessions=3, turns=2)
    users = env.world.eligible_users()[:4]
    simulated = simulate_policy(env.world, 9, users, by_turn)
    assert equal(simulated, simulate_policy(env.world, 9, users, by_turn))
    for row, user in enumerate(users):
        env.reset(seed=9, options={"user": int(user)})
        for turn in range(int(simulated.active[row].sum())):
            now = env.ground_truth.user_state()
            session = int(now.session[0])
            assert (int(now.day[0]), session) == (
                simulated.day[row, turn],
                simulated.session[row, turn],
            )
            last = (
                turn + 1 == simulated.active[row].sum()
                or simulated.session[row, turn + 1] != session
            )
            if last:
                assert (simulated.taste[row, session] == now.taste[0]).all()
            seen, reward, ended, cut, _ = env.step({"slate": by_turn(env.world, now)[0]})
            assert (int(seen["chosen"]), reward) == (
                simulated.chosen[row, turn],
                simulated.reward[row, turn],
            )
        assert ended or cut
        assert (ended, cut) == (simulated.end.churned[row], not simulated.end.churned[row])


def test_inactive_turns_are_empty():
    world = build_world("synthetic:60", "retention", 3)
    simulated = simulate_policy(world, 1, USERS, by_turn)
    inactive = ~simulated.active
    assert inactive.any()
    assert (simulated.slates[inactive] == -1).all()
    assert (simulated.chosen[inactive] == -1).all()
    assert (simulated.reward[inactive] == 0).all()
    assert (np.diff(simulated.active.astype(int), axis=1) <= 0).all()


def test_episodes_do_not_depend_on_other_users():
    world = build_world("synthetic:60", "retention", 3)
    together, alone = (
        simulate_policy(world, 1, USERS, organic_policy),
        simulate_policy(world, 1, USERS[4:5], organic_policy),
    )
    turns = alone.active.shape[1]
    assert (together.chosen[4, :turns] == alone.chosen[0]).all()
    assert (together.reward[4, :turns] == alone.reward[0]).all()


def test_an_edit_changes_one_row_and_nothing_else():
    world = build_world("synthetic:60", "constraint-change", 3)
    z = np.zeros(world.hidden.z.shape[1])
    z[3] = 0.5
    counterfactual = edit_item(world, 4, z=z, appeal=1.25, quality=-0.5, maturity=18)
    hidden = counterfactual.hidden
    assert (hidden.appeal[4], hidden.quality[4], hidden.maturity[4]) == (1.25, -0.5, 18)
    assert (hidden.z[4] == z).all()
    others = np.arange(60) != 4
    for name in ("z", "appeal", "quality", "maturity"):
        assert (getattr(hidden, name)[others] == getattr(world.hidden, name)[others]).all()
    rebuilt = item_traits(hidden.z, hidden.appeal, hidden.quality, world.catalog.topic)
    assert (counterfactual.traits == rebuilt).all()
    assert (counterfactual.centroid_units == world.centroid_units).all()
    assert (counterfactual.kaleness[others] == world.kaleness[others]).all()
    assert counterfactual.kaleness[4] != world.kaleness[4]
    assert counterfactual.catalog is world.catalog
    assert (edit_item(world, 4).traits == world.traits).all()


@pytest.mark.parametrize("scenario", SCENARIOS.names())
def test_editing_an_item_never_shown_changes_nothing(scenario):
    world = build_world("synthetic:60", scenario, 3, 3, 3)
    users = world.eligible_users()[:8]
    counterfactual = edit_item(
        world, 50, z=-world.hidden.z[50], appeal=3.0, quality=3.0, maturity=18
    )
    policy = shown(1, 2, 3)
    assert equal(
        simulate_policy(world, 2, users, policy), simulate_policy(counterfactual, 2, users, policy)
    )


def test_editing_a_shown_item_redraws_nothing_else():
    """More appeal moves choices to the item only: the other draws of the race stay."""
    world = build_world("synthetic:60", "stationary", 3)
    item = 2
    policy = shown(1, item, 3)
    plain = simulate_policy(world, 2, USERS, policy)
    counterfactual = simulate_policy(
        edit_item(world, item, appeal=world.hidden.appeal[item] + 1.0), 2, USERS, policy
    )
    first = plain.chosen[:, 0], counterfactual.chosen[:, 0]
    moved = plain.chosen != counterfactual.chosen
    unchanged = np.logical_and.accumulate(~moved, axis=1)
    first_move = moved & np.roll(unchanged, 1, axis=1)
    first_move[:, 0] = first[0] != first[1]
    assert first_move.any()
    assert (counterfactual.chosen[first_move] == item).all()
    kept = unchanged
    assert (plain.reward[kept] == counterfactual.reward[kept]).all()


@pytest.mark.parametrize("scenario", ["gradual-drift", "abrupt-shift", "transient-intent"])
def test_drift_does_not_depend_on_the_policy(scenario):
    world = build_world("synthetic:60", scenario, 3)
    one, other = (
        simulate_policy(world, 2, USERS, shown(1, 2, 3)),
        simulate_policy(world, 2, USERS, organic_policy),
    )
    assert not np.array_equal(one.chosen, other.chosen)
    assert np.array_equal(one.taste, other.taste)
    if scenario != "transient-intent":
        assert not np.array_equal(one.taste[:, 0], one.taste[:, -1])


def test_with_influence_tastes_depend_on_the_policy():
    world = build_world("synthetic:60", "influence", 3)
    one, other = (
        simulate_policy(world, 2, USERS, shown(1, 2, 3)),
        simulate_policy(world, 2, USERS, organic_policy),
    )
    assert np.array_equal(one.taste[:, :0], other.taste[:, :0])
    assert not np.array_equal(one.taste[:, -1], other.taste[:, -1])


def test_organic_slates_follow_popularity_and_taste():
    """First and second items over many episodes against the softmax."""
    world = build_world("synthetic:7", "stationary", 2)
    user = int(np.flatnonzero(world.hidden.ages >= 18)[0])
    count = 4000
    now = initial_population(world, np.arange(count), np.full(count, user))
    slates = organic_policy(world, now)
    directions = now.interests[0] * 2.0**-20
    mass = [
        popularity
        * sum(
            w * np.exp(world.beta * u @ z) for w, u in zip(now.weights[0], directions, strict=True)
        )
        for popularity, z in zip(world.catalog.popularity, world.hidden.z, strict=True)
    ]
    chance = np.array(mass) / sum(mass)
    found = np.bincount(slates[:, 0], minlength=7) / count
    assert (np.abs(found - chance) <= 4 * np.sqrt(chance * (1 - chance) / count) + 1e-9).all()
    second = np.array(
        [[i != j and chance[i] * chance[j] / (1 - chance[i]) for j in range(7)] for i in range(7)]
    ).sum(axis=0)
    found = np.bincount(slates[:, 1], minlength=7) / count
    assert (np.abs(found - second) <= 4 * np.sqrt(second * (1 - second) / count) + 1e-9).all()


def test_organic_slates_hold_distinct_allowed_items():
    world = build_world("synthetic:60", "minor-profile", 5)
    now = initial_population(world, 1, world.eligible_users()[:20])
    for user, slate in zip(now.user, organic_policy(world, now), strict=True):
        assert len(set(slate.tolist())) == 5
        assert (world.hidden.maturity[slate] <= world.hidden.ages[user]).all()


def test_organic_noise_is_addressed_by_item():
    """Removing an item keeps the order of the others."""
    world = build_world("synthetic:60", "stationary", 5)
    now = initial_population(world, 1, USERS)
    before = organic_policy(world, now)
    gone = int(before[0, 0])
    counterfactual = edit_item(world, gone, maturity=200)
    after = organic_policy(counterfactual, now)
    for old, new in zip(before, after, strict=True):
        kept = [item for item in old if item != gone]
        assert new.tolist()[: len(kept)] == kept
    assert philox.uniform(1, 3, 0, Purpose.ORGANIC) != philox.uniform(1, 3, 0, Purpose.RESPONSE)
