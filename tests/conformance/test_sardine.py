"""Boredom and the pull of clicked items against SARDINE, on its own environments and clicks."""

import warnings

import numpy as np
import pytest

from tasteshift.envs.dynamics import boredom
from tasteshift.envs.dynamics.boredom import Boredom
from tasteshift.envs.numerics.grid import GRID, on_grid

pytest.importorskip("sardine", reason="pip install sardine-rec")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import gymnasium as gym
    import sardine
    from sardine.simulator import Sardine

BORED = ["sardine/SingleItem-BoredInf-v0", "sardine/SlateTopK-BoredInf-v0"]


class OneClick(Sardine):
    """At most one item of a slate is clicked, the topmost, as in our choice model."""

    def _compute_clicks(self, rels, comps):
        clicks = super()._compute_clicks(rels, comps)
        return clicks * (np.cumsum(clicks) == 1)


class MeanVector(OneClick):
    """SARDINE's influence with the mean over items that its paper describes."""

    def _clicked_item_influence(self, slate, clicked_items):
        if len(clicked_items):
            mean = np.mean(self.item_embedd[slate[clicked_items]], axis=0)
            mixed = self.omega * self.user_embedd + (1 - self.omega) * mean
            self.user_embedd = mixed / np.linalg.norm(mixed)


def original(name, kind=OneClick, **changes):
    return kind(**{**gym.spec(name).kwargs, **changes})


def clicked_topic(env, slate, clicks):
    """Main topic (1) of the clicked item, −1 where nothing was clicked."""
    return np.append(env.item_comp[slate[np.flatnonzero(clicks)]], -1)[:1]


def slates(env, seed, turns):
    """Mostly the best slate for the user, so that boredom occurs, sometimes a random one."""
    rng = np.random.default_rng(seed)
    for _ in range(turns):
        if rng.uniform() < 0.15:
            yield rng.integers(0, env.num_items, size=env.slate_size)
        else:
            yield np.full(env.slate_size, -1)


def test_sardine_is_the_release_that_was_compared():
    assert sardine.__version__ == "1.0.8"


@pytest.mark.parametrize("name", BORED)
def test_boredom_has_sardines_constants(name):
    params, kwargs = Boredom(), gym.spec(name).kwargs
    assert params.window == params.duration == kwargs["boredom_moving_window"]
    assert params.threshold == kwargs["boredom_threshold"]
    assert params.memory == kwargs["env_omega"]
    assert kwargs["recent_items_maxlen"] >= params.window
    assert kwargs["boredom_type"] == "user_car"


@pytest.mark.parametrize("name", BORED)
@pytest.mark.parametrize("kind", ["user_tloi", "user_car"])
@pytest.mark.parametrize("threshold", [2, 3, 5])
def test_boredom_equals_sardines_turn_by_turn(name, kind, threshold):
    env = original(name, boredom_type=kind, boredom_threshold=threshold)
    params = Boredom(threshold=threshold, everything=kind == "user_car")
    times_bored = recovered = 0
    for seed in range(4):
        observation, info = env.reset(seed=seed)
        recent, left = boredom.begin_boredom(params, 1, env.num_topics)
        topic = clicked_topic(env, observation["slate"], info["clicks"])
        recent, left = boredom.update_boredom(params, recent, left, topic)
        for slate in slates(env, seed, 80):
            before = left
            *_, info = env.step(slate)
            topic = clicked_topic(env, info["slate"], info["clicks"])
            recent, left = boredom.update_boredom(params, recent, left, topic)
            assert ((left[0] > 0) == env.bored).all()
            assert (left[0][env.bored] == env.bored_timeout[env.bored]).all()
            loses = boredom.boredom_utility(params, left)[0] < 0
            assert (env.cur_user_embedd == np.where(loses, 0, env.user_embedd)).all()
            times_bored += int((left > before).sum())
            recovered += int(((left == 0) & (before > 0)).sum())
    assert times_bored > 5
    assert recovered > 5


@pytest.mark.parametrize("name", BORED)
def test_pull_equals_sardines_with_the_mean_over_items(name):
    """Not re-aligned in an episode: each click adds at most 4 grid steps, discounted by 0.95."""
    env, params = original(name, kind=MeanVector, boredom_type="user_tloi"), Boredom()
    items = on_grid(env.item_embedd)
    clicks = 0
    for seed in range(3):
        env.reset(seed=seed)
        first = env.user_embedd.copy()
        taste = on_grid(first[None])
        for slate in slates(env, seed, 60):
            *_, info = env.step(slate)
            clicked = info["clicks"][None] > 0
            taste = boredom.pull(params, taste, items[info["slate"]][None], clicked)
            clicks += int(clicked.sum())
            assert taste[0] == pytest.approx(env.user_embedd, abs=4 * GRID / 0.05)
        assert first @ env.user_embedd < 0.999
    assert clicks > 30


def test_several_clicks_pull_towards_their_mean_vector():
    env = original(BORED[1], kind=MeanVector)
    env.reset(seed=0)
    taste = on_grid(env.user_embedd[None])
    slate, clicked = np.arange(10), np.array([0, 3, 4, 8])
    env._clicked_item_influence(slate, clicked)
    mask = np.isin(np.arange(10), clicked)[None]
    after = boredom.pull(Boredom(), taste, on_grid(env.item_embedd[slate])[None], mask)
    assert after[0] == pytest.approx(env.user_embedd, abs=4 * GRID)


def test_pull_equals_unmodified_sardine_where_its_mean_is_right():
    """An item equal in all dimensions is its own mean over dimensions."""
    env = original(BORED[0], kind=Sardine)
    env.reset(seed=1)
    env.item_embedd = np.full_like(env.item_embedd, 1 / np.sqrt(env.num_topics))
    taste = on_grid(env.user_embedd[None])
    env._clicked_item_influence(np.array([0]), np.array([0]))
    item = on_grid(env.item_embedd[:1])[None]
    after = boredom.pull(Boredom(), taste, item, np.array([[True]]))
    assert after[0] == pytest.approx(env.user_embedd, abs=4 * GRID)


def test_sardines_influence_averages_over_dimensions_too():
    """Its pull is one number for all topics, whatever was clicked; ours points to the item."""
    env = original(BORED[0], kind=Sardine)
    env.reset(seed=1)
    user, item = env.user_embedd.copy(), env.item_embedd[7]
    env._clicked_item_influence(np.array([7]), np.array([0]))
    scalar = 0.95 * user + 0.05 * item.mean()
    assert env.user_embedd == pytest.approx(scalar / np.linalg.norm(scalar), abs=1e-12)
    assert (item == 0).sum() >= 7
    assert (env.user_embedd[(item == 0) & (user == 0)] > 0).all()

    for _ in range(400):
        env._clicked_item_influence(np.array([7]), np.array([0]))
    flat = np.full(env.num_topics, 1 / np.sqrt(env.num_topics))
    assert env.user_embedd == pytest.approx(flat, abs=1e-3)

    taste, shown = on_grid(user[None]), on_grid(item)[None, None]
    for _ in range(400):
        taste = boredom.pull(Boredom(), taste, shown, np.array([[True]]))
    assert taste[0] == pytest.approx(item, abs=1e-3)
