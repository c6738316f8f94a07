"""TasteShift/Lifelong-v0 with flat array spaces, for reinforcement-learning libraries."""

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

    ## Description
    Wraps ``gym.make("TasteShift/Lifelong-v0", …)`` for libraries that expect array spaces, such as
    Stable-Baselines3.

    ## Action Space
    `MultiDiscrete`, int64 of shape (slate_size,): item indices from 0 to n − 1, best first. A
    repeated item leaves its later slots empty.

    ## Observation Space
    `Box`, float32 vector. With f = topics + 4 public features per item, from left to right:

    - history of the enjoyed items (f), in [−10, 10], see `update_history`
    - features of the last chosen item (f), in [−1, 1]; 0 where nothing was chosen
    - its rating, in [0, 1]
    - day, session, turn and steps left, each divided by its maximum, in [0, 1]
    - context, one-hot
    - topics that the user rules out in this turn, 0 or 1

    Utterances and user rows are left out.

    ## Rewards, Starting State, Episode End
    Those of the wrapped environment, with its ``info``.

    ## Arguments
    - ``env``: a TasteShift/Lifelong-v0 environment

    ## Version History
    - v0: initial version
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._inner = env
        world = getattr(env.unwrapped, "world", None)
        if world is None:
            raise InputError("FlatLifelong wraps only TasteShift/Lifelong-v0")
        self._features = item_features(world.catalog)
        self._history = np.zeros((1, self._features.shape[1]), dtype=np.float32)
        self._maxima = {
            "day": max(world.days - 1, 1),
            "session": max(world.scenario.sessions - 1, 1),
            "turn": world.scenario.turns,
            "steps_left": world.turns,
        }
        self._contexts = np.eye(world.contexts, dtype=np.float32)
        f, rest = self._features.shape[1], world.contexts + len(world.catalog.topics)
        bound = 1 / (1 - HISTORY_DECAY)
        high = np.concatenate([np.full(f, bound), np.ones(f + 1 + len(self._maxima) + rest)])
        low = np.concatenate([-high[: 2 * f], np.zeros(1 + len(self._maxima) + rest)])
        self.observation_space = spaces.Box(low.astype(np.float32), high.astype(np.float32))
        self.action_space = spaces.MultiDiscrete(np.full(world.slate_size, len(world.catalog)))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Singles, Values]:
        """Start an episode, as the environment does."""
        observation, info = self._inner.reset(seed=seed, options=options)
        self._history = np.zeros_like(self._history)
        return self._flat(observation), info

    def step(self, action: NDArray[np.int64]) -> tuple[Singles, float, bool, bool, Values]:
        """Show a slate, as the environment does."""
        observation, reward, terminated, truncated, info = self._inner.step({"slate": action})
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
            [observation[name] / maximum for name, maximum in self._maxima.items()],
            self._contexts[observation["context"]],
            observation["avoid"],
        ]
        return np.concatenate(parts).astype(np.float32)
