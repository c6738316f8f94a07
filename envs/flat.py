"""Lifelong-v0 as plain arrays of numbers, the way that RL libraries want it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from ..errors import InputError
from ..records import NOTHING
from .simulator.features import HISTORY_DECAY, Singles, item_features, update_history
from .simulator.observation import Values


class FlatLifelong(gym.Wrapper[Singles, NDArray[np.int64], Values, Values], RecordConstructorArgs):
    """A Lifelong-v0 environment with a `Box` observation and a `MultiDiscrete` action.

    Made from ``gym.make("TasteShift/Lifelong-v0", …)``; PPO of Stable-Baselines3 trains on it.

    observation  float32 vector, from left to right: the history of what was enjoyed (f, see
                 `update_history`); the features of the last item chosen (f, 0 where nothing was);
                 its rating; day, session, turn and steps left as shares of their largest values;
                 the context, one column each; the topics just ruled out (T)
    action       K item indices, best first; a repeated item leaves its slot empty

    Words and user rows are left out, infos are those of the environment.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._plain = env
        world = getattr(env.unwrapped, "world", None)
        if world is None:
            raise InputError("FlatLifelong wraps TasteShift/Lifelong-v0 and nothing else")
        self._features = item_features(world.catalog)
        self._history = np.zeros((1, self._features.shape[1]), dtype=np.float32)
        self._most = {
            "day": max(world.days - 1, 1),
            "session": max(world.scenario.sessions - 1, 1),
            "turn": world.scenario.turns,
            "steps_left": world.turns,
        }
        self._contexts = np.eye(world.contexts, dtype=np.float32)
        f, rest = self._features.shape[1], world.contexts + len(world.catalog.topics)
        bound = 1 / (1 - HISTORY_DECAY)
        high = np.concatenate([np.full(f, bound), np.ones(f + 1 + len(self._most) + rest)])
        low = np.concatenate([-high[: 2 * f], np.zeros(1 + len(self._most) + rest)])
        self.observation_space = spaces.Box(low.astype(np.float32), high.astype(np.float32))
        self.action_space = spaces.MultiDiscrete(np.full(world.slate_size, len(world.catalog)))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Singles, Values]:
        """Begin a life, as the environment does."""
        observation, info = self._plain.reset(seed=seed, options=options)
        self._history = np.zeros_like(self._history)
        return self._flat(observation), info

    def step(self, action: NDArray[np.int64]) -> tuple[Singles, float, bool, bool, Values]:
        """Show a slate, as the environment does."""
        observation, reward, terminated, truncated, info = self._plain.step({"slate": action})
        self._history = update_history(
            self._history,
            self._features,
            np.atleast_1d(observation["chosen"]),
            np.atleast_1d(observation["rating"]),
        )
        return self._flat(observation), float(reward), terminated, truncated, info

    def _flat(self, observation: Values) -> Singles:
        chosen = int(observation["chosen"])
        last = self._features[chosen] * np.float32(chosen != NOTHING)
        parts = [
            self._history[0],
            last,
            [observation["rating"]],
            [observation[name] / most for name, most in self._most.items()],
            self._contexts[observation["context"]],
            observation["avoid"],
        ]
        return np.concatenate(parts).astype(np.float32)
