"""FlatLifelong: contents of the vector, its bounds, and training with Stable-Baselines3."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tasteshift import envs as _envs
from tasteshift.envs.flat import FlatLifelong
from tasteshift.envs.simulator.features import item_features
from tasteshift.envs.simulator.scenarios import SCENARIOS
from tasteshift.errors import InputError

assert _envs


def make(scenario="stationary", **arguments):
    return gym.make(
        "TasteShift/Lifelong-v0",
        catalog="synthetic:60",
        scenario=scenario,
        slate_size=3,
        **arguments,
    )


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version")
@pytest.mark.parametrize("scenario", SCENARIOS.names())
def test_observations_lie_in_the_box(scenario):
    env = FlatLifelong(make(scenario))
    check_env(env, skip_render_check=True)
    env.action_space.seed(0)
    observation, _ = env.reset(seed=3)
    over = False
    while not over:
        assert env.observation_space.contains(observation)
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        over = terminated or truncated
    assert env.observation_space.contains(observation)


def test_the_vector_equals_the_observation_of_the_environment():
    env, plain = FlatLifelong(make("constraint-change")), make("constraint-change")
    features = item_features(plain.unwrapped.world.catalog)
    f, topics = features.shape[1], len(plain.unwrapped.world.catalog.topics)
    seen, _ = env.reset(seed=5)
    shown, _ = plain.reset(seed=5)
    history, ruled_out = np.zeros(f), 0
    slates = np.random.default_rng(0).integers(60, size=(50, 3))
    for slate in slates:
        seen, reward, *_ = env.step(slate)
        shown, expected, *_ = plain.step({"slate": slate})
        last = features[shown["chosen"]] if shown["chosen"] >= 0 else np.zeros(f)
        history = 0.9 * history + shown["rating"] * last
        assert reward == expected
        assert np.allclose(seen[:f], history, atol=1e-5)
        assert np.array_equal(seen[f : 2 * f], last)
        scalars = [
            shown["rating"],
            shown["day"] / 63,
            shown["session"] / 9,
            shown["turn"] / 5,
            shown["steps_left"] / 50,
        ]
        assert np.allclose(seen[2 * f : 2 * f + 5], scalars)
        assert seen[2 * f + 5] == 1
        assert np.array_equal(seen[-topics:], shown["avoid"])
        ruled_out += int(shown["avoid"].sum())
    assert ruled_out == 1


def test_other_environments_raise():
    with pytest.raises(InputError, match="wraps only TasteShift/Lifelong-v0"):
        FlatLifelong(gym.make("CartPole-v1"))


@pytest.mark.filterwarnings("ignore")
def test_stable_baselines3_checks_and_trains():
    pytest.importorskip("stable_baselines3")
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_checker import check_env as check

    torch.set_num_threads(1)
    env = FlatLifelong(make(sessions=2))
    check(env, warn=False)
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=2, seed=0, device="cpu")
    before = [value.clone() for value in model.policy.parameters()]
    model.learn(256)
    after = list(model.policy.parameters())
    assert any((old != new).any() for old, new in zip(before, after, strict=True))
    assert all(bool(torch.isfinite(value).all()) for value in after)
