"""World: calibrated constants, eligible users and the training log of real catalogs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp

from tasteshift.envs.catalogs.load import load_data
from tasteshift.envs.simulator.choice import position
from tasteshift.envs.simulator.scenarios import Scenario
from tasteshift.envs.simulator.training_log import simulate_training_log
from tasteshift.envs.simulator.world import TASTE_SPREAD, build_world
from tasteshift.errors import InputError


@pytest.mark.parametrize(("catalog", "size"), [("movielens-100k", 5), ("synthetic", 3)])
def test_random_slates_are_refused_half_of_the_time(catalog, size):
    world = build_world(catalog, "stationary", size)
    rng = np.random.default_rng(0)
    user = rng.integers(world.num_users, size=20_000)
    item = rng.integers(len(world.catalog), size=(20_000, size))
    hidden = world.hidden
    scores = world.beta * np.einsum("bmd,bkd->bkm", hidden.anchors[user], hidden.z[item])
    liking = logsumexp(np.log(hidden.weights[user])[:, None] + scores, axis=2)
    total = np.exp(liking + hidden.appeal[item] + position(size)).sum(axis=1)
    refused = 1 / (1 + total * np.exp(-world.outside_utility))
    assert refused.mean() == pytest.approx(0.5, abs=0.015)
    spread = (world.beta * hidden.anchors @ hidden.z.T).std()
    assert spread == pytest.approx(TASTE_SPREAD, rel=1e-4)


def test_users_are_distinct_eligible_and_fixed_by_the_seed():
    world = build_world("movielens-100k", "minor-profile", 5)
    users = world.sample_users(0, 20)
    assert len(set(users)) == 20
    assert list(users) == sorted(users)
    assert {world.age_group(user) for user in users} == {"teen"}
    assert users == world.sample_users(0, 20) != world.sample_users(1, 20)
    assert world.sample_users(0, 33) == world.sample_users(1, 33)
    for count in (0, -1, 34):
        with pytest.raises(InputError, match="ask for 1 to 33"):
            world.sample_users(0, count)


def test_age_bounds_and_unobserved_ages():
    ages = load_data("synthetic").hidden.ages
    plain = Scenario("plain", "")
    for changes, fit in (
        ({"minors_only": True}, ages < 18),
        ({"youngest": 40}, ages >= 40),
        ({"minors_only": True, "youngest": 9}, (ages >= 9) & (ages < 18)),
    ):
        world = build_world("synthetic", replace(plain, **changes), 5)
        assert (world.eligible_users() == np.flatnonzero(fit)).all()
    observed = build_world("synthetic", plain, 5)
    unobserved = build_world("synthetic", replace(plain, age_observed=False), 5)
    assert {observed.observed_age_group(user) for user in range(1000)} == {"child", "teen", "adult"}
    assert {unobserved.observed_age_group(user) for user in range(1000)} == {"unknown"}
    assert [unobserved.age_group(user) for user in range(99)] == [
        observed.observed_age_group(user) for user in range(99)
    ]


def test_the_training_log_has_no_repeats_and_follows_popularity_and_taste():
    world = build_world("movielens-100k", "stationary", 5)
    log = simulate_training_log(world)
    assert len(set(zip(log.user.tolist(), log.item.tolist(), strict=True))) == len(log)
    assert (np.diff(log.user) >= 0).all()
    assert ((log.rating > 0) & (log.rating < 1)).all()
    count = np.bincount(log.item, minlength=len(world.catalog))
    assert np.corrcoef(count, world.catalog.popularity)[0, 1] > 0.7
    hidden = world.hidden
    score = np.einsum("kmd,kd->km", hidden.anchors[log.user], hidden.z[log.item]).max(axis=1)
    everywhere = (hidden.anchors @ hidden.z.T).max(axis=1)
    assert score.mean() > everywhere.mean() + 0.3 * score.std()
