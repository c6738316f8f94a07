"""Train PPO on users with stationary tastes, and compare it with random slates.

    pip install stable-baselines3
    python examples/train_ppo.py

Both policies are evaluated on the same users with environment seeds unused in training. Prints the
mean reward per turn and a 95 % bootstrap interval over users.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import gymnasium as gym
import numpy as np

import tasteshift.envs
from tasteshift.envs.flat import FlatLifelong

ENVIRONMENT = "TasteShift/Lifelong-v0"
EVALUATION_SEED = 10_000_000
Policy = Callable[[np.ndarray], np.ndarray]


def make(catalog: str, scenario: str, slate_size: int) -> FlatLifelong:
    """One environment with flat numeric observations and actions."""
    assert tasteshift.envs
    return FlatLifelong(
        gym.make(ENVIRONMENT, catalog=catalog, scenario=scenario, slate_size=slate_size)
    )


def mean_rewards(env: FlatLifelong, policy: Policy, users: int) -> np.ndarray:
    """(users) mean reward per turn of one episode of each."""
    means = []
    for k in range(users):
        observation, _ = env.reset(seed=EVALUATION_SEED + k)
        rewards, over = [], False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(policy(observation))
            rewards.append(reward)
            over = terminated or truncated
        means.append(np.mean(rewards))
    return np.array(means)


def with_interval(means: np.ndarray, rng: np.random.Generator) -> str:
    """The mean over users with its 95 % bootstrap interval."""
    resampled = means[rng.integers(len(means), size=(10_000, len(means)))].mean(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return f"{means.mean():.4f}  [{low:.4f}, {high:.4f}]"


def main() -> None:
    """Train, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--catalog", default="synthetic:100")
    parser.add_argument("--scenario", default="stationary")
    parser.add_argument("--slate-size", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    try:
        import torch
        from stable_baselines3 import PPO
        from stable_baselines3.common.vec_env import DummyVecEnv
    except ImportError:
        sys.exit("this example needs Stable-Baselines3: pip install stable-baselines3")

    torch.set_num_threads(2)
    start = time.perf_counter()
    options = (given.catalog, given.scenario, given.slate_size)
    model = PPO(
        "MlpPolicy",
        DummyVecEnv([lambda: make(*options)] * 8),
        n_steps=256,
        batch_size=512,
        n_epochs=10,
        learning_rate=1e-3,
        gamma=0.0,
        ent_coef=0.0,
        seed=given.seed,
        device="cpu",
    )
    model.learn(given.steps)
    print(f"trained for {given.steps} turns in {time.perf_counter() - start:.0f} s")

    env, rng = make(*options), np.random.default_rng(given.seed)
    env.action_space.seed(given.seed)
    random = mean_rewards(env, lambda _: env.action_space.sample(), given.users)
    trained = mean_rewards(env, lambda seen: model.predict(seen)[0], given.users)
    print(f"mean reward per turn of {given.users} users, with 95 % bootstrap intervals")
    print(f"random      {with_interval(random, rng)}")
    print(f"PPO         {with_interval(trained, rng)}")
    print(f"difference  {with_interval(trained - random, rng)}")


if __name__ == "__main__":
    main()
