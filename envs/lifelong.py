"""TasteShift/Lifelong-v0: one user, several sessions, a slate a turn."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..records import NOTHING, Brief
from . import philox
from .choice import Ints
from .observation import (
    Values,
    observation_spaces,
    observe,
    slate_space,
    utterance,
    utterance_space,
)
from .philox import Purpose, Words
from .population import Population, begin
from .scenarios import Scenario
from .truth import Truth
from .turn import advance, respond
from .world import World, build_world


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

    ``info`` holds ``age_group`` after a reset and is empty after a step. Two environments with
    equal arguments, seed, user and actions live bit-identical lives.
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
        self.truth = Truth(self.world, lambda: self._alive())
        self._population: Population | None = None
        self._last: Values = {}
        self._seeded, self._life = 0, 0
        self._define_spaces()

    def _define_spaces(self) -> None:
        self._slates = slate_space(self.world)
        self.action_space = spaces.Dict({"slate": self._slates})
        self.observation_space = spaces.Dict(
            {**observation_spaces(self.world), "utterance": utterance_space(self.world)}
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Values, Values]:
        """Begin a life; `seed` is the world's, ``options["user"]`` the row of the user."""
        super().reset(seed=seed)
        self._seeded, self._life = (seed, 0) if seed is not None else (self._seeded, self._life + 1)
        self.seed = int(life_seed(self._seeded, self._life))
        row = (options or {}).get("user")
        users = (
            drawn_users(self.world, self.seed) if row is None else asked_users(self.world, row, 1)
        )
        user = int(users[0])
        self._population = begin(self.world, self.seed, users)
        empty = np.full(self.world.slate_size, NOTHING, dtype=np.int64)
        return self._observe(empty, NOTHING, 0.0), {"age_group": self.world.age_group(user)}

    def step(self, action: Values) -> tuple[Values, float, bool, bool, Values]:
        """Show a slate; the reward is the enjoyment of what was chosen, in [0, 1]."""
        now = self._alive()
        if self._over(now):
            raise gym.error.ResetNeeded("this life is over; call reset() to begin another")
        slate = self._slate(action)
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
            age_group=self.world.age_group(user),
        )

    def _alive(self) -> Population:
        if self._population is None:
            raise gym.error.ResetNeeded("no life has begun; call reset() first")
        return self._population

    def _over(self, now: Population) -> bool:
        return bool(now.over[0])

    def _slate(self, action: Values) -> NDArray[np.int64]:
        """The action's slate with repeated items removed; raises InputError outside the space."""
        try:
            slate = np.asarray(action["slate"], dtype=np.int64)
        except (TypeError, KeyError, ValueError, IndexError):
            slate = np.array(None)
        if not self._slates.contains(slate):
            raise InputError(
                f"action {action!r} is not in the action space: {{'slate': array}} with "
                f"{self.world.slate_size} item indices from {NOTHING} to "
                f"{len(self.world.catalog) - 1} is expected"
            )
        first = np.array([item not in slate[:k] for k, item in enumerate(slate)])
        return np.where(first, slate, NOTHING)

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


def life_seed(seed: ArrayLike, life: ArrayLike) -> Words:
    """The world's seed of the `life`-th life after a reset with `seed`; the first is `seed`.

    Both may be arrays, which broadcast.
    """
    later = philox.uniform(seed, 0, life, Purpose.LIVES) * 2.0**52
    return np.where(np.asarray(life) == 0, philox.words(seed), later.astype(np.uint64))


def drawn_users(world: World, seed: ArrayLike) -> Ints:
    """Rows (B) of the users whom worlds with seeds (B), or one, are about."""
    eligible = world.eligible_users()
    draw = philox.uniform(seed, 0, 0, Purpose.POPULATION).reshape(-1)
    return eligible[(draw * len(eligible)).astype(np.int64)]


def asked_users(world: World, row: ArrayLike, count: int) -> Ints:
    """Rows as an array (count); raises InputError for one that cannot live in the scenario."""
    eligible = world.eligible_users()
    if np.size(row) not in (1, count):
        raise InputError(f"{np.size(row)} users do not fit {count} lives; give one row for each")
    asked = np.broadcast_to(np.asarray(row).reshape(-1), (count,))
    for user in asked[~np.isin(asked, eligible)]:
        raise InputError(
            f"user {user!s} cannot live in scenario {world.scenario.name!r}; "
            f"rows run from {eligible[0]} to {eligible[-1]}"
        )
    return asked.astype(np.int64)
