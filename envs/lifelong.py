"""TasteShift/Lifelong-v0: one user, several sessions, a slate a turn."""

from __future__ import annotations

import textwrap
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..records import NOTHING, Brief
from ..validation import SEED, number
from .numerics import philox
from .numerics.arrays import Ints, Words
from .numerics.compiled import compiled
from .numerics.philox import Purpose
from .reference.ground_truth import GroundTruth
from .simulator.observation import (
    Values,
    observation_spaces,
    observe,
    slate_space,
    utterance,
    utterance_space,
)
from .simulator.population import Population, initial_population
from .simulator.scenarios import Scenario
from .simulator.turn import advance, respond
from .simulator.world import World, build_world


class Lifelong(gym.Env[Values, Values]):
    """A lifelong user who chooses from slates, and whose taste may change.

    Arguments of ``gym.make``:

    catalog      movielens-100k, synthetic, synthetic:N, or the path of a folder with items
    scenario     a name from ``tasteshift list scenarios``, or a `Scenario` of your own
    slate_size   the most items on one slate
    sessions     most sessions in a life; None for the scenario's own number
    turns        most turns in a session; None likewise
    render_mode  None or "ansi" (the last turn as text)

    ``reset(seed=…, options={"user": row})`` lives the life of one user; without a row the seed
    picks one. A life is truncated when the calendar ends and terminated when the user leaves for
    good; nobody dies of a time limit. ``action["slate"]`` holds item indices, best first, NOTHING
    (−1) in empty slots; a repeated item counts once. A reset without a seed lives the next life
    of the seed before: life k of a seed is the same in every environment.

    ``info`` holds ``age_group`` after a reset, unknown where users tell their age in words, and is
    empty after a step. Two environments with equal arguments, seed, user and actions live
    bit-identical lives.
    """

    metadata: Values = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012

    def __init__(
        self,
        catalog: str = "movielens-100k",
        scenario: str | Scenario = "stationary",
        slate_size: int = 5,
        sessions: int | None = None,
        turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, "ansi"):
            raise InputError(f"render_mode {render_mode!r} is unknown; use 'ansi' or None")
        self.render_mode = render_mode
        self.world: World = build_world(catalog, scenario, slate_size, sessions, turns)
        self.ground_truth = GroundTruth(self.world, lambda: self._alive())
        self._population: Population | None = None
        self._last: Values = {}
        self._seeded, self._life = 0, 0
        self._define_spaces()

    def _define_spaces(self) -> None:
        self.action_space = spaces.Dict({"slate": slate_space(self.world)})
        self.observation_space = spaces.Dict(
            {**observation_spaces(self.world), "utterance": utterance_space(self.world)}
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Values, Values]:
        """Begin a life; `seed` is the world's, ``options["user"]`` the row of the user.

        Raises InputError for a negative seed or a user who cannot live here; nothing changes then.
        """
        if seed is not None:
            seed = number("seed", seed, SEED)
        seeded, life = (self._seeded, self._life + 1) if seed is None else (seed, 0)
        own = int(episode_seed(seeded, life))
        row = (options or {}).get("user")
        users = draw_users(self.world, own) if row is None else requested_users(self.world, row, 1)
        population = initial_population(self.world, own, users)
        super().reset(seed=seed)
        self._population, self._seeded, self._life, self.seed = population, seeded, life, own
        user = int(users[0])
        empty = np.full(self.world.slate_size, NOTHING, dtype=np.int64)
        return self._observe(empty, NOTHING, 0.0), {
            "age_group": self.world.observed_age_group(user)
        }

    def step(self, action: Values) -> tuple[Values, float, bool, bool, Values]:
        """Show a slate; the reward is the enjoyment of what was chosen, in [0, 1]."""
        now = self._alive()
        if self._over(now):
            raise gym.error.ResetNeeded("this life is over; call reset() to begin another")
        asked = validated_slates(self.world, action, (self.world.slate_size,))
        slate = distinct(asked[None], now.over)[0]
        response = respond(self.world, now, slate[None])
        self._population = now = advance(self.world, now, slate[None], response)
        reward = float(response.reward[0])
        observation = self._observe(slate, int(response.chosen[0]), reward)
        churned = bool(now.churned[0])
        return observation, reward, churned, self._over(now) and not churned, {}

    def render(self) -> str | None:
        """The last turn as text, in render mode "ansi"."""
        if self.render_mode != "ansi" or not self._last:
            return None
        catalog, last = self.world.catalog, self._last
        shown = [int(item) for item in last["slate"] if item != NOTHING]
        lines = [f"day {last['day']}, session {last['session']}, turn {last['turn']}"]
        lines += [
            f"  {'>' if item == last['chosen'] else ' '} {catalog.label(item)}" for item in shown
        ]
        return "\n".join([*lines, f"  user: {last['utterance']}"])

    def brief(self, agent_seed: int) -> Brief:
        """What an agent is told about the life that `reset` has just begun."""
        scenario, user = self.world.scenario, int(self._alive().user[0])
        return Brief(
            user=user,
            seed=agent_seed,
            slate_size=self.world.slate_size,
            sessions=scenario.sessions,
            turns=scenario.turns,
            age_group=self.world.observed_age_group(user),
        )

    def _alive(self) -> Population:
        if self._population is None:
            raise gym.error.ResetNeeded("no life has begun; call reset() first")
        return self._population

    def _over(self, now: Population) -> bool:
        return bool(now.over[0])

    def _observe(self, slate: NDArray[np.int64], chosen: int, rating: float) -> Values:
        now, before = self._alive(), int(self._last.get("day", NOTHING))
        columns = observe(
            self.world,
            now,
            slate[None],
            np.array([chosen]),
            np.array([rating]),
            np.array([before]),
        )
        self._last = {name: column[0] for name, column in columns.items()}
        self._last["rating"] = np.array(rating)
        self._last["utterance"] = utterance(self.world, now, chosen, rating, before)
        return dict(self._last)


def episode_seed(seed: ArrayLike, life: ArrayLike) -> Words:
    """The world's seed of the `life`-th life after a reset with `seed`; the first is `seed`.

    Both may be arrays, which broadcast.
    """
    later = philox.uniform(seed, 0, life, Purpose.EPISODES) * 2.0**52
    return np.where(np.asarray(life) == 0, philox.words(seed), later.astype(np.uint64))


def draw_users(world: World, seed: ArrayLike) -> Ints:
    """Rows (B) of the users whom worlds with seeds (B), or one, are about; raises InputError."""
    eligible = _eligible(world)
    draw = philox.uniform(seed, 0, 0, Purpose.POPULATION).reshape(-1)
    return eligible[(draw * len(eligible)).astype(np.int64)]


def requested_users(world: World, row: Any, count: int) -> Ints:
    """Rows as an array (count); raises InputError for one that cannot live in the scenario."""
    eligible = _eligible(world)
    given = _array(row)
    if given.dtype.kind not in "iu":
        raise InputError(f"user {_short(row)} is not a row; give a whole number for each life")
    if given.size not in (1, count):
        raise InputError(f"{given.size} users do not fit {count} lives; give one row for each")
    asked = np.broadcast_to(given.reshape(-1), (count,))
    for user in asked[~np.isin(asked, eligible)]:
        raise InputError(
            f"user {user!s} cannot live in scenario {world.scenario.name!r}; "
            f"rows run from {eligible[0]} to {eligible[-1]}"
        )
    return asked.astype(np.int64)


def _eligible(world: World) -> Ints:
    rows = world.eligible_users()
    if not len(rows):
        raise InputError(
            f"catalog {world.catalog.name!r} has no user for scenario {world.scenario.name!r}; "
            f"choose a larger catalog or another scenario"
        )
    return rows


def validated_slates(world: World, action: Any, shape: tuple[int, ...]) -> Ints:
    """The slates of an action as int64 of this shape; raises InputError outside the space.

    Any integer type will do, and lists; floats, bools and words will not.
    """
    try:
        slates = _array(action["slate"])
    except (TypeError, KeyError, IndexError):
        slates = np.array(None)
    n = len(world.catalog)
    whole = slates.shape == shape and slates.dtype.kind in "iu"
    if not (whole and slates.min() >= NOTHING and slates.max() < n):
        raise InputError(
            f"action {_short(action)} is not in the action space: {{'slate': array}} of shape "
            f"{shape} with item indices from {NOTHING} to {n - 1} is expected"
        )
    return np.ascontiguousarray(slates, dtype=np.int64)


def distinct(slates: Ints, over: NDArray[np.bool_]) -> Ints:
    """Slates (B, K) without repeated items, and without any item where a life is over (B)."""
    out = np.empty_like(slates)
    _distinct(slates, over, out)
    return out


@compiled
def _distinct(slates: Ints, over: NDArray[np.bool_], out: Ints) -> None:
    for row in range(len(slates)):
        for k in range(slates.shape[1]):
            item = NOTHING if over[row] else slates[row, k]
            for earlier in range(k):
                if slates[row, earlier] == item:
                    item = NOTHING
            out[row, k] = item


def _array(value: Any) -> NDArray[Any]:
    """What NumPy makes of a value; an array that is no numbers where it makes nothing of it."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError):
        return np.array(None)


def _short(value: Any) -> str:
    return textwrap.shorten(repr(value), 80, placeholder="...")
