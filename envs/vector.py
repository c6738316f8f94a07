"""TasteShift/Lifelong-v0 vectorized: a batch of users, bit-exact with the single environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from ..errors import InputError
from ..records import NOTHING
from ..validation import COUNT, SEED, number
from .numerics.arrays import Ints, Words
from .numerics.philox import words
from .simulator.episodes import (
    draw_users,
    episode_seed,
    requested_users,
    validated_slates,
    without_repeats,
)
from .simulator.features import HISTORY_DECAY, Singles, item_features, update_history
from .simulator.observation import (
    Values,
    observation_spaces,
    observe,
    slate_space,
    utterance,
    utterance_space,
)
from .simulator.population import Population, initial_population, put_rows, take_rows
from .simulator.scenarios import Scenario
from .simulator.turn import advance_running, respond
from .simulator.world import World, build_world

StepResult = tuple[Values, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Values]


class LifelongVector(VectorEnv[Values, Values, NDArray[Any]]):
    """`num_envs` users in parallel, each with the episode that `Lifelong` would give it.

    ## Description
    Sub-environment i has the dynamics, spaces and numbers of `Lifelong`, bit-exact; users are
    stored as arrays and stepped by compiled code in several threads.

    ## Action Space
    `Dict` with ``slate``: `MultiDiscrete`, int64 of shape (num_envs, slate_size), as in `Lifelong`.

    ## Observation Space
    Batches (num_envs, …) of the observations of `Lifelong`, with these differences:

    - ``features``: `Box(-10, 10, (num_envs, f), float32)`, a decaying summary of the public
      features of the items that each user enjoyed, see `update_history`; f is topics + 4
    - ``utterance``: a tuple of num_envs strings, only with ``text=True``

    ## Rewards
    float64 of shape (num_envs,) in [0, 1], as in `Lifelong`.

    ## Starting State
    ``reset(seed=s)`` seeds sub-environment i with s + i; a list gives each its own seed. None, for
    all or in the list, starts the next episode of the last seed (of i, where there was none).
    ``options={"user": row or rows}`` selects users. ``info`` has ``age_group``, an array
    (num_envs,) of strings.

    ## Episode End
    Termination and truncation as in `Lifelong`, as arrays (num_envs,). The step after the end of
    an episode ignores its action and starts the next episode of the same seed, with reward 0
    (`AutoresetMode.NEXT_STEP`). ``info`` of such a step has ``age_group`` and the mask
    ``_age_group`` of the episodes that started; it is empty after all other steps.

    ## Arguments
    ``gym.make_vec("TasteShift/Lifelong-v0", num_envs=64, vectorization_mode="vector_entry_point")``

    - ``num_envs``: number of users
    - ``catalog``, ``scenario``, ``slate_size``, ``sessions``, ``turns``: as in `Lifelong`
    - ``text``: True adds ``utterance`` to the observations
    - ``threads``: None for two, or for one on a single core
    - ``batch_size``: maximum users per array batch; neither this nor ``threads`` changes results

    ## Version History
    - v0: initial version
    """

    metadata: Values = {  # noqa: RUF012
        "render_modes": [],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        catalog: str = "movielens-100k",
        scenario: str | Scenario = "stationary",
        slate_size: int = 5,
        sessions: int | None = None,
        turns: int | None = None,
        text: bool = False,
        threads: int | None = None,
        batch_size: int = 8192,
        render_mode: None = None,
    ) -> None:
        threads = min(2, os.cpu_count() or 1) if threads is None else threads
        num_envs = number("num_envs", num_envs, COUNT)
        threads, batch_size = (
            number("threads", threads, COUNT),
            number("batch_size", batch_size, COUNT),
        )
        if render_mode is not None:
            raise InputError("the vector environment cannot render; use render_mode=None")
        self.num_envs, self.text, self.render_mode = num_envs, text, None
        self.world: World = build_world(catalog, scenario, slate_size, sessions, turns)
        self.item_features = item_features(self.world.catalog)
        self._age_groups = np.array(
            list(map(self.world.observed_age_group, range(self.world.num_users)))
        )
        batches = -(-num_envs // max(1, min(batch_size, -(-num_envs // threads))))
        bounds = [num_envs * k // batches for k in range(batches + 1)]
        self._parts = [slice(*pair) for pair in pairwise(bounds)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 and batches > 1 else None
        self._populations: list[Population] = []
        self._history: Singles = np.zeros((num_envs, self.item_features.shape[1]), np.float32)
        self._day = np.zeros(num_envs, dtype=np.int64)
        self._reset_seed: Words = np.arange(num_envs).astype(np.uint64)
        self._episode = np.zeros(num_envs, dtype=np.int64)
        self._define_spaces()

    def _define_spaces(self) -> None:
        bound = float(1 / (1 - HISTORY_DECAY))
        shown = observation_spaces(self.world)
        shown["features"] = spaces.Box(-bound, bound, self._history.shape[1:], np.float32)
        if self.text:
            shown["utterance"] = utterance_space(self.world)
        self.single_observation_space = spaces.Dict(shown)
        self.single_action_space = spaces.Dict({"slate": slate_space(self.world)})
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._numbers = {
            name: batch_space(space, self.num_envs)
            for name, space in shown.items()
            if name not in ("features", "utterance")
        }

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Values, Values]:
        """Start `num_envs` episodes; raises InputError as the single environment does."""
        row = (options or {}).get("user")
        users = None if row is None else requested_users(self.world, row, self.num_envs)
        first, reset_seed, episode = self._reseeded(seed)

        def start(part: slice) -> Population:
            seeds = episode_seed(reset_seed[part], episode[part])
            rows = draw_users(self.world, seeds) if users is None else users[part]
            return initial_population(self.world, seeds, rows)

        self._populations = self._map(start, self._parts)
        super().reset(seed=first)
        self._reset_seed, self._episode = reset_seed, episode
        self._history = np.zeros_like(self._history)
        empty = np.full((self.num_envs, self.world.slate_size), NOTHING)
        observation = self._empty_observation()
        self._map(
            lambda k: self._fill_observation(k, empty[self._parts[k]], observation),
            range(len(self._parts)),
        )
        return self._with_tuples(observation), {"age_group": self._age_groups[observation["user"]]}

    def step(self, actions: Values) -> StepResult:
        """Show each user a slate; users whose episode was over start another instead."""
        if not self._populations:
            raise gym.error.ResetNeeded("no episode has started; call reset() first")
        shape = self.num_envs, self.world.slate_size
        slates = validated_slates(self.world, actions, shape)
        started = np.concatenate([now.over for now in self._populations])
        observation = self._empty_observation()
        over, churned = np.empty(self.num_envs, bool), np.empty(self.num_envs, bool)

        def step(k: int) -> None:
            part = self._parts[k]
            self._step_part(k, slates[part], observation)
            over[part], churned[part] = self._populations[k].over, self._populations[k].churned

        self._map(step, range(len(self._parts)))
        info: Values = {}
        if started.any():
            info = {"age_group": self._age_groups[observation["user"]], "_age_group": started}
        reward = observation["rating"].copy()
        return self._with_tuples(observation), reward, churned, over & ~churned, info

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _step_part(self, k: int, slates: Ints, observation: Values) -> None:
        """One step of the users in part k."""
        now, part = self._populations[k], self._parts[k]
        slates = without_repeats(slates, now.over)
        response = respond(self.world, now, slates)
        ended = np.flatnonzero(now.over)
        if len(ended) < len(now):
            self._populations[k] = advance_running(self.world, now, slates, response)
        self._history[part] = update_history(
            self._history[part], self.item_features, response.chosen, response.reward
        )
        if len(ended):
            self._episode[part][ended] += 1
            seeds = episode_seed(self._reset_seed[part][ended], self._episode[part][ended])
            fresh = initial_population(self.world, seeds, draw_users(self.world, seeds))
            everyone = len(ended) == len(now)
            self._populations[k] = (
                fresh if everyone else put_rows(self._populations[k], ended, fresh)
            )
            self._history[part][ended] = 0.0
        self._fill_observation(k, slates, observation, response.chosen, response.reward)

    def _fill_observation(
        self,
        k: int,
        slates: Ints,
        observation: Values,
        chosen: Ints | None = None,
        rating: NDArray[np.float64] | None = None,
    ) -> None:
        """Fill the rows of part k of the observation."""
        now, part, before = self._populations[k], self._parts[k], self._day[self._parts[k]].copy()
        chosen = np.full(len(now), NOTHING) if chosen is None else chosen
        rating = np.zeros(len(now)) if rating is None else rating
        for name, column in observe(self.world, now, slates, chosen, rating, before).items():
            observation[name][part] = column
        observation["features"][part] = self._history[part]
        self._day[part] = now.day
        if self.text:
            observation["utterance"][part] = [
                utterance(
                    self.world,
                    take_rows(now, np.array([i])),
                    int(chosen[i]),
                    float(rating[i]),
                    int(before[i]),
                )
                for i in range(len(now))
            ]

    def _empty_observation(self) -> Values:
        """An observation whose arrays are yet to be filled."""
        observation: Values = {
            name: np.empty(space.shape, space.dtype) for name, space in self._numbers.items()
        }
        observation["features"] = np.empty_like(self._history)
        if self.text:
            observation["utterance"] = [""] * self.num_envs
        return observation

    def _with_tuples(self, observation: Values) -> Values:
        """The observation with its list of utterances as a tuple, as the space asks for."""
        return {
            name: tuple(column) if name == "utterance" else column
            for name, column in observation.items()
        }

    def _map(self, function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
        return list(self._pool.map(function, values) if self._pool else map(function, values))

    def _reseeded(self, seed: Any) -> tuple[int | None, Words, Ints]:
        """The first seed given, and the reset seeds (B) and episode numbers (B) after a reset."""
        first, reset_seed, episode = None, self._reset_seed.copy(), self._episode + 1
        for k, one in enumerate(self._seeds(seed)):
            if one is not None:
                first = one if first is None else first
                reset_seed[k], episode[k] = words(one), 0
        return first, reset_seed, episode

    def _seeds(self, seed: Any) -> list[int | None]:
        """A seed or None for each sub-environment; raises InputError."""
        if seed is None:
            return [None] * self.num_envs
        try:
            if np.ndim(seed) == 0:
                first: int = number("seed", seed, SEED)
                return [first + k for k in range(self.num_envs)]
            seeds = [None if one is None else number("seed", one, SEED) for one in seed]
        except (InputError, ValueError, TypeError):
            seeds = []
        if len(seeds) != self.num_envs:
            given = " ".join(repr(seed).split())
            raise InputError(
                f"seed {given} does not fit; give one integer of at least 0, or a list "
                f"with one per sub-environment, {self.num_envs} in all"
            )
        return seeds
