"""TasteShift/Lifelong-v0 for many users at once: the same lives to the bit, a batch at a time."""

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
from .lifelong import distinct, draw_users, episode_seed, requested_users, validated_slates
from .numerics.arrays import Ints, Words
from .numerics.philox import words
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

Step = tuple[Values, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Values]


class LifelongVector(VectorEnv[Values, Values, NDArray[Any]]):
    """`num_envs` lives side by side, each the life that the single environment would give it.

    Arguments of ``gym.make_vec(..., vectorization_mode="vector_entry_point")`` beyond those of
    the single environment:

    num_envs   B, how many lives at a time
    text       True: observations hold the users' words, ``utterance``, a tuple of B strings
    threads    that share the work; None for two, or one where there is only one core
    at_once    users in one batch of arrays; neither this nor `threads` changes a bit

    Observations are those of the single environment in batches, and ``features`` (B, f), a
    running summary of what each user enjoyed (`update_history`). Actions are ``{"slate": (B, K)}``.

    ``reset(seed=s)`` seeds life i with s + i, a list seeds each with its own, None in it or for it
    goes on to the next life of the seed before (of i, where there was none).
    ``options={"user": row or rows}`` asks for users. The step after the end of a life ignores its
    action and begins the next life of its seed (Gymnasium's autoreset mode "next step").

    ``info`` holds ``age_group`` (B) after a reset; after a step in which lives began too, with
    the mask ``_age_group`` (B) of those; and is empty after every other step.
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
        at_once: int = 8192,
        render_mode: None = None,
    ) -> None:
        threads = min(2, os.cpu_count() or 1) if threads is None else threads
        num_envs = number("num_envs", num_envs, COUNT)
        threads, at_once = number("threads", threads, COUNT), number("at_once", at_once, COUNT)
        if render_mode is not None:
            raise InputError("many users at once cannot be rendered; use render_mode=None")
        self.num_envs, self.text, self.render_mode = num_envs, text, None
        self.world: World = build_world(catalog, scenario, slate_size, sessions, turns)
        self.item_features = item_features(self.world.catalog)
        self._groups = np.array(
            list(map(self.world.observed_age_group, range(self.world.num_users)))
        )
        batches = -(-num_envs // max(1, min(at_once, -(-num_envs // threads))))
        bounds = [num_envs * k // batches for k in range(batches + 1)]
        self._parts = [slice(*pair) for pair in pairwise(bounds)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 and batches > 1 else None
        self._users: list[Population] = []
        self._history: Singles = np.zeros((num_envs, self.item_features.shape[1]), np.float32)
        self._day = np.zeros(num_envs, dtype=np.int64)
        self._seeded: Words = np.arange(num_envs).astype(np.uint64)
        self._life = np.zeros(num_envs, dtype=np.int64)
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
        """Begin `num_envs` lives; raises InputError as the single environment does."""
        asked = (options or {}).get("user")
        users = None if asked is None else requested_users(self.world, asked, self.num_envs)
        first, seeded, life = self._reseeded(seed)

        def begun(part: slice) -> Population:
            seeds = episode_seed(seeded[part], life[part])
            who = draw_users(self.world, seeds) if users is None else users[part]
            return initial_population(self.world, seeds, who)

        self._users = self._each(begun, self._parts)
        super().reset(seed=first)
        self._seeded, self._life = seeded, life
        self._history = np.zeros_like(self._history)
        empty = np.full((self.num_envs, self.world.slate_size), NOTHING)
        observation = self._blank()
        self._each(lambda k: self._show(k, empty[self._parts[k]], observation), self._numbered)
        return self._spoken(observation), {"age_group": self._groups[observation["user"]]}

    def step(self, actions: Values) -> Step:
        """Show each user a slate; users whose life was over begin another instead."""
        if not self._users:
            raise gym.error.ResetNeeded("no life has begun; call reset() first")
        shape = self.num_envs, self.world.slate_size
        slates = validated_slates(self.world, actions, shape)
        began = np.concatenate([now.over for now in self._users])
        observation = self._blank()
        over, churned = np.empty(self.num_envs, bool), np.empty(self.num_envs, bool)

        def live(k: int) -> None:
            part = self._parts[k]
            self._live(k, slates[part], observation)
            over[part], churned[part] = self._users[k].over, self._users[k].churned

        self._each(live, self._numbered)
        info: Values = {}
        if began.any():
            info = {"age_group": self._groups[observation["user"]], "_age_group": began}
        reward = observation["rating"].copy()
        return self._spoken(observation), reward, churned, over & ~churned, info

    def close_extras(self, **kwargs: Any) -> None:
        """Let the threads go."""
        if self._pool is not None:
            self._pool.shutdown()

    def _live(self, k: int, slates: Ints, observation: Values) -> None:
        """One step of the users in part k."""
        now, part = self._users[k], self._parts[k]
        slates = distinct(slates, now.over)
        response = respond(self.world, now, slates)
        ended = np.flatnonzero(now.over)
        if len(ended) < len(now):
            self._users[k] = advance_running(self.world, now, slates, response)
        self._history[part] = update_history(
            self._history[part], self.item_features, response.chosen, response.reward
        )
        if len(ended):
            self._life[part][ended] += 1
            seeds = episode_seed(self._seeded[part][ended], self._life[part][ended])
            fresh = initial_population(self.world, seeds, draw_users(self.world, seeds))
            whole = len(ended) == len(now)
            self._users[k] = fresh if whole else put_rows(self._users[k], ended, fresh)
            self._history[part][ended] = 0.0
        self._show(k, slates, observation, response.chosen, response.reward)

    def _show(
        self,
        k: int,
        slates: Ints,
        observation: Values,
        chosen: Ints | None = None,
        rating: NDArray[np.float64] | None = None,
    ) -> None:
        """Fill the rows of part k in the observation."""
        now, part, before = self._users[k], self._parts[k], self._day[self._parts[k]].copy()
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

    def _blank(self) -> Values:
        """Room for an observation."""
        room: Values = {
            name: np.empty(space.shape, space.dtype) for name, space in self._numbers.items()
        }
        room["features"] = np.empty_like(self._history)
        if self.text:
            room["utterance"] = [""] * self.num_envs
        return room

    def _spoken(self, observation: Values) -> Values:
        return {
            name: tuple(column) if name == "utterance" else column
            for name, column in observation.items()
        }

    def _each(self, function: Callable[[Any], Any], things: Sequence[Any]) -> list[Any]:
        return list(self._pool.map(function, things) if self._pool else map(function, things))

    @property
    def _numbered(self) -> range:
        return range(len(self._parts))

    def _reseeded(self, seed: Any) -> tuple[int | None, Words, Ints]:
        """The first seed given, and every life's seed and number after a reset with `seed`."""
        first, seeded, life = None, self._seeded.copy(), self._life + 1
        for k, one in enumerate(self._seeds(seed)):
            if one is not None:
                first = one if first is None else first
                seeded[k], life[k] = words(one), 0
        return first, seeded, life

    def _seeds(self, seed: Any) -> list[int | None]:
        """A seed or None for each life; raises InputError."""
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
                f"seed {given} does not fit; give one whole number of at least 0, or a list "
                f"with one for each of the {self.num_envs} lives"
            )
        return seeds
