"""TasteShift/Lifelong-v0: one user over several sessions, one slate per turn."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ..errors import InputError
from ..records import NOTHING, Brief
from ..validation import SEED, number
from .numerics.arrays import Ints
from .reference.ground_truth import GroundTruth
from .simulator.episodes import (
    draw_users,
    episode_seed,
    requested_users,
    validated_slates,
    without_repeats,
)
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
    """A user who chooses from slates over several sessions, and whose taste may change.

    ## Description
    An episode follows one user of a catalog. It has sessions on different days, and each session
    has turns. In each turn the agent shows a slate of items; the user chooses one of them or none
    (a multinomial logit, see `simulator.choice`) and enjoys the chosen item more or less. The
    scenario decides how the user's taste changes between turns, sessions and days.

    ## Action Space
    `Dict` with one key:

    - ``slate``: `MultiDiscrete`, int64 of shape (slate_size,). Item indices from 0 to n − 1, best
      first; −1 leaves a slot empty. A repeated item leaves its later slots empty, and so does an
      item that has not entered the catalog yet. Lists of integers are accepted.

    ## Observation Space
    `Dict` with these keys; see `brief` for what an agent receives at the start:

    - ``user``: `Discrete(users)`, row of the user in the training log
    - ``day``: `Discrete(days)`, days since the episode began
    - ``session``: `Discrete(sessions)`, index of the session
    - ``turn``: `Discrete(turns + 1)`, index of the turn in the session; the number of turns played
      after the last turn of the episode
    - ``steps_left``: `Discrete(sessions * turns + 1)`, remaining turns, an upper bound where
      sessions or the episode may end early; 0 after the last turn
    - ``context``: `Discrete(regimes)`, regime of the day; always 0 without recurring regimes
    - ``avoid``: `MultiBinary(topics)`, 1 for a topic that the user rules out in this turn
    - ``slate``: as in the action space, the slate shown in the turn before; all −1 after a reset
    - ``chosen``: `Discrete(n + 1, start=-1)`, the item chosen from it, −1 for none
    - ``rating``: `Box(0, 1, (), float64)`, enjoyment of the chosen item, 0 for none
    - ``utterance``: `Text(480)`, what the user says: a request in the first turn of a session, a
      reaction to the last slate in the others

    ## Rewards
    The enjoyment of the chosen item, a float in [0, 1]; 0 where nothing was chosen.

    ## Starting State
    Day 0, session 0, turn 0 of the user in row ``options["user"]`` of ``reset``, or of a user drawn
    by the seed. ``reset(seed=s)`` starts the first episode of seed s; ``reset()`` starts the next
    episode of the last seed, which is the same episode in every environment. Drifting tastes start
    from their stationary distribution, all others at the user's long-run taste. ``info`` has the
    key ``age_group``: child (under 13), teen (13 to 17), adult, or unknown where the scenario lets
    users only say their age.

    ## Episode End
    Truncation: after the last session, or when the scenario's days are over. Termination: the user
    leaves for good (scenarios with `retention`). ``step`` raises `ResetNeeded` afterwards. ``info``
    is empty after every step.

    ## Arguments
    ``gym.make("TasteShift/Lifelong-v0", catalog="movielens-100k", scenario="stationary")``

    - ``catalog``: movielens-100k, synthetic, synthetic:N, or the path of a folder with items
    - ``scenario``: a name from ``tasteshift list scenarios``, or a `Scenario`
    - ``slate_size``: number of slots, default 5
    - ``sessions``: maximum sessions of an episode; None for the scenario's number
    - ``turns``: maximum turns of a session; None for the scenario's number
    - ``render_mode``: None, or "ansi" for the last turn as text

    Environments with equal arguments, seed, user and actions have bit-identical episodes.

    ## Version History
    - v0: initial version
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
        self.ground_truth = GroundTruth(self.world, lambda: self._started())
        self._population: Population | None = None
        self._last: Values = {}
        self._reset_seed, self._episode = 0, 0
        self._define_spaces()

    def _define_spaces(self) -> None:
        self.action_space = spaces.Dict({"slate": slate_space(self.world)})
        self.observation_space = spaces.Dict(
            {**observation_spaces(self.world), "utterance": utterance_space(self.world)}
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Values, Values]:
        """Start an episode under an environment seed, for the user row ``options["user"]``.

        Raises InputError for a negative seed or a user that is not eligible; the running episode
        then goes on.
        """
        if seed is not None:
            seed = number("seed", seed, SEED)
        reset_seed, episode = (self._reset_seed, self._episode + 1) if seed is None else (seed, 0)
        own = int(episode_seed(reset_seed, episode))
        row = (options or {}).get("user")
        users = draw_users(self.world, own) if row is None else requested_users(self.world, row, 1)
        population = initial_population(self.world, own, users)
        super().reset(seed=seed)
        self._population, self.seed = population, own
        self._reset_seed, self._episode = reset_seed, episode
        empty = np.full(self.world.slate_size, NOTHING, dtype=np.int64)
        info = {"age_group": self.world.observed_age_group(int(users[0]))}
        return self._observe(empty, NOTHING, 0.0), info

    def step(self, action: Values) -> tuple[Values, float, bool, bool, Values]:
        """Show a slate; the reward is the enjoyment of the chosen item, in [0, 1]."""
        now = self._started()
        if self._over(now):
            raise gym.error.ResetNeeded("the episode is over; call reset() to start another")
        slates = validated_slates(self.world, action, (self.world.slate_size,))
        slate = without_repeats(slates[None], now.over)[0]
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
        """The brief that an agent receives for the episode that `reset` has started."""
        scenario, user = self.world.scenario, int(self._started().user[0])
        return Brief(
            user=user,
            seed=agent_seed,
            slate_size=self.world.slate_size,
            sessions=scenario.sessions,
            turns=scenario.turns,
            age_group=self.world.observed_age_group(user),
        )

    def _started(self) -> Population:
        if self._population is None:
            raise gym.error.ResetNeeded("no episode has started; call reset() first")
        return self._population

    def _over(self, now: Population) -> bool:
        return bool(now.over[0])

    def _observe(self, slate: Ints, chosen: int, rating: float) -> Values:
        now, before = self._started(), int(self._last.get("day", NOTHING))
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
