"""Training log: distribution of the slates and choices, cold users and items, seeds."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from tasteshift.envs.catalogs.latents import CatalogData
from tasteshift.envs.catalogs.load import load_data, register_in_memory, unregister_in_memory
from tasteshift.envs.catalogs.overlays import Overlay, apply
from tasteshift.envs.dynamics.cold import CATALOG_SEED, ColdUsers, events_kept, is_cold
from tasteshift.envs.simulator.training_log import (
    POPULARITY_POWER,
    distinct_draws,
    public_data,
    simulate_training_log,
)
from tasteshift.envs.simulator.world import build_world


@pytest.fixture(scope="module")
def world():
    return build_world("synthetic:300", "stationary", 5)


def pairs(log):
    return list(zip(log.user.tolist(), log.item.tolist(), strict=True))


@pytest.mark.parametrize("name", ["synthetic:7", "synthetic:300", "synthetic:6000"])
def test_no_user_sees_an_item_twice(name):
    world = build_world(name, "stationary", 2)
    log = simulate_training_log(world)
    assert len(set(pairs(log))) == len(log) > 0
    assert (np.diff(log.user) >= 0).all()
    assert ((log.rating > 0) & (log.rating < 1)).all()
    popularity = world.catalog.popularity
    shown = distinct_draws(np.arange(50), popularity, popularity > 0, min(240, len(popularity)))
    assert all(len(set(row)) == len(row) for row in shown.tolist())


def test_draws_have_the_distribution_of_successive_sampling():
    """All ordered pairs of four items against ∏ w/(1 − Σ w so far), within four standard errors."""
    popularity = np.array([0.5, 0.3, 0.15, 0.05])
    w = popularity**POPULARITY_POWER / (popularity**POPULARITY_POWER).sum()
    users = 20_000
    found = distinct_draws(np.arange(users), popularity, np.ones(4, bool), 2)
    for first, second in permutations(range(4), 2):
        expected = w[first] * w[second] / (1 - w[first])
        share = ((found[:, 0] == first) & (found[:, 1] == second)).mean()
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / users)


def test_large_catalogs_have_the_same_distribution():
    """Four popular items among 10,000 unpopular ones, drawn by rejection instead of ranking."""
    popularity = np.r_[0.5, 0.3, 0.15, 0.05, np.zeros(9996)]
    known = popularity > 0
    w = popularity[:4] ** POPULARITY_POWER / (popularity[:4] ** POPULARITY_POWER).sum()
    users = 20_000
    found = distinct_draws(np.arange(users), popularity, known, 2)
    assert found.max() < 4
    for first, second in permutations(range(4), 2):
        expected = w[first] * w[second] / (1 - w[first])
        share = ((found[:, 0] == first) & (found[:, 1] == second)).mean()
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / users)


def test_the_log_does_not_depend_on_batches_of_users(world):
    popularity = world.catalog.popularity
    everything = np.ones(len(popularity), bool)
    whole = distinct_draws(np.arange(30), popularity, everything, 20)
    some = distinct_draws(np.arange(11, 17), popularity, everything, 20)
    assert (whole[11:17] == some).all()


def test_choices_follow_taste_and_popularity(world):
    log = simulate_training_log(world)
    hidden = world.hidden
    taste = np.einsum("um,umd->ud", hidden.weights, hidden.anchors)
    score = (taste[log.user] * hidden.z[log.item]).sum(axis=1)
    assert score.mean() > (taste @ hidden.z.T).mean() + 0.3 * score.std()
    count = np.bincount(log.item, minlength=len(world.catalog))
    assert np.corrcoef(count, world.catalog.popularity)[0, 1] > 0.4


def test_cold_users_keep_their_first_rows_and_the_others_all(world):
    cold = replace(world, scenario=replace(world.scenario, cold_users=ColdUsers(0.5)))
    whole, cut = simulate_training_log(world), simulate_training_log(cold)
    user = np.arange(world.num_users)
    kept = np.where(is_cold(ColdUsers(0.5), user), events_kept(CATALOG_SEED, user), 24)
    for row in range(100):
        assert pairs_of(cut, row) == pairs_of(whole, row)[: kept[row]]
    assert 0.4 < len(cut) / len(whole) < 0.8


def pairs_of(log, user):
    rows = log.user == user
    return list(zip(log.item[rows].tolist(), log.rating[rows].tolist(), strict=True))


@pytest.mark.parametrize("name", ["synthetic:300", "synthetic:6000"])
def test_items_that_enter_later_do_not_occur(name):
    world = build_world(name, "stationary", 5)
    entry = np.where(np.arange(len(world.catalog)) % 4 == 0, 9, 0)
    late = replace(world, entry_day=entry)
    log = simulate_training_log(late)
    assert len(log) > 1000
    assert not (log.item % 4 == 0).any()
    assert (simulate_training_log(world).item % 4 == 0).any()
    assert (public_data(late).entry_day == entry).all()


def test_overlays_do_not_change_the_log(world):
    fake = replace(world, catalog=apply(Overlay("poison-popularity", 0.2), world.catalog))
    assert pairs(simulate_training_log(fake)) == pairs(simulate_training_log(world))


def test_another_log_seed_gives_another_log_of_the_same_distribution(world):
    """Content and distribution are the same, the draws are not."""
    name = "hidden:another-log"
    data = load_data("synthetic:300")
    renamed = replace(data.public, name=name)
    register_in_memory(name, lambda: CatalogData(renamed, data.hidden, log_seed=2**62 + 5))
    other = build_world(name, "stationary", 5)
    first, second = simulate_training_log(world), simulate_training_log(other)
    unregister_in_memory(name)
    assert other.catalog.hash == world.catalog.hash
    shared = len(set(pairs(first)) & set(pairs(second))) / len(first)
    assert shared < 0.3
    assert len(second) == pytest.approx(len(first), rel=0.05)
    counts = [np.bincount(log.item, minlength=300) for log in (first, second)]
    assert np.corrcoef(*counts)[0, 1] > 0.9


def test_the_log_of_public_catalogs_is_pinned(world):
    """Results of earlier runs stay comparable."""
    log = simulate_training_log(world)
    assert load_data("synthetic:300").log_seed == 1
    assert (len(log), int((log.item * (1 + log.user)).sum()) % 1_000_003) == (12369, 367949)
