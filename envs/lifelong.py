"""TasteShift/Lifelong-v0: one user, several sessions, a slate a turn."""

from __future__ import annotations

import string
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from ..errors import InputError
from ..records import NOTHING, Brief
from . import philox
from .language.speech import LONGEST, reaction, request, topic_centroids
from .philox import Purpose
from .population import Population, advance, begin, respond
from .truth import Truth
from .world import World, build_world

Values = dict[str, Any]


class Lifelong(gym.Env[Values, Values]):
    """A lifelong user who chooses from slates, and whose taste may change.

    Arguments of ``gym.make``:

    catalog      movielens-100k, synthetic or synthetic:N
    scenario     see ``tasteshift list scenarios``
    slate_size   the most items on one slate
    sessions     sessions in a life; None for the scenario's own number
    turns        turns in a session; None likewise
    render_mode  None or "ansi" (the last turn as text)

    ``reset(seed=…, options={"user": row})`` lives the life of one user; without a row the seed
    picks one. A life ends by truncation: nobody dies of a time limit. ``action["slate"]`` holds
    item indices, best first, NOTHING (−1) in empty slots; a repeated item counts once.

    ``info`` holds ``age_group`` after a reset and is empty after a step. Two environments with
    equal arguments, seed, user and actions live bit-identical lives.
    """

    metadata: Values = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012

    def __init__(
        self,
        catalog: str = "movielens-100k",
        scenario: str = "stationary",
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
        self._centroids = topic_centroids(self.world.catalog, self.world.hidden.z)
        self._define_spaces()

    def _define_spaces(self) -> None:
        world, scenario = self.world, self.world.scenario
        n, size = len(world.catalog), world.slate_size
        characters = frozenset(string.printable).union("…’", *world.catalog.title)
        slate = spaces.MultiDiscrete(np.full(size, n + 1), start=np.full(size, NOTHING))
        self._slates = slate
        self.action_space = spaces.Dict({"slate": slate})
        self.observation_space = spaces.Dict(
            {
                "user": spaces.Discrete(world.num_users),
                "day": spaces.Discrete(scenario.sessions * scenario.gap_days + 1),
                "session": spaces.Discrete(scenario.sessions),
                "turn": spaces.Discrete(scenario.turns + 1),
                "steps_left": spaces.Discrete(world.turns + 1),
                "slate": spaces.MultiDiscrete(np.full(size, n + 1), start=np.full(size, NOTHING)),
                "chosen": spaces.Discrete(n + 1, start=NOTHING),
                "rating": spaces.Box(0.0, 1.0, (), np.float64),
                "utterance": spaces.Text(LONGEST, min_length=0, charset=characters),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Values, Values]:
        """Begin a life; `seed` is the world's, ``options["user"]`` the row of the user."""
        super().reset(seed=seed)
        self.seed = seed if seed is not None else int(self.np_random.integers(2**63))
        user = self._user((options or {}).get("user"))
        self._population = begin(self.world, self.seed, np.array([user]))
        empty = np.full(self.world.slate_size, NOTHING, dtype=np.int64)
        return self._observe(empty, NOTHING, 0.0), {"age_group": self.world.age_group(user)}

    def step(self, action: Values) -> tuple[Values, float, bool, bool, Values]:
        """Show a slate; the reward is the enjoyment of what was chosen, in [0, 1]."""
        now = self._alive()
        if self._over(now):
            raise gym.error.ResetNeeded("this life is over; call reset() to begin another")
        slate = self._slate(action)
        response = respond(self.world, now, slate[None])
        self._population = now = advance(self.world, now, response)
        reward = float(response.reward[0])
        observation = self._observe(slate, int(response.chosen[0]), reward)
        return observation, reward, False, self._over(now), {}

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
        return int(now.turn[0]) == self.world.scenario.turns

    def _user(self, row: int | None) -> int:
        eligible = self.world.eligible_users()
        if row is None:
            draw = float(philox.uniform(self.seed, 0, 0, Purpose.POPULATION))
            return int(eligible[int(draw * len(eligible))])
        if row not in eligible:
            raise InputError(
                f"user {row!r} cannot live in scenario {self.world.scenario.name!r}; "
                f"rows run from {eligible[0]} to {eligible[-1]}"
            )
        return int(row)

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
        world, now = self.world, self._alive()
        scenario, catalog = world.scenario, world.catalog
        user, day = int(now.user[0]), int(now.day[0])
        session, turn = int(now.session[0]), int(now.turn[0])
        time = session * scenario.turns + turn
        address = (self.seed, user, time)
        if turn == 0:
            utterance = request(catalog, self._centroids, now.taste[0], address)
        else:
            utterance = reaction(catalog, chosen, rating, address)
        self._last = {
            "user": np.int64(user),
            "day": np.int64(day),
            "session": np.int64(session),
            "turn": np.int64(turn),
            "steps_left": np.int64(world.turns - time),
            "slate": slate,
            "chosen": np.int64(chosen),
            "rating": np.array(rating),
            "utterance": utterance,
        }
        return dict(self._last)
