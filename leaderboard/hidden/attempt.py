"""One attempt at a suite on hidden seeds: worlds that nobody has seen, lived from stored answers.

An attempt keeps no state that matters. What an agent is shown is a function of the attempt's key
and of the answers so far, so a server that was killed goes on from the answers it stored; lives
that are under way stay at hand only to save time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Any

from ...envs.catalogs.latents import CatalogData
from ...envs.catalogs.load import load_data
from ...envs.catalogs.public import PublicData
from ...envs.lifelong import Lifelong
from ...envs.simulator.training_log import public_data
from ...errors import InputError
from ...records import AGENT, Brief, Observation
from ...suites.engine.episode_runner import EpisodeRunner
from ...suites.suite import Suite, find_suite
from .keys import seed_from
from .messages import brief_message, decision_from, observation_message, picture_message
from .task import HiddenTask, hidden_task

LIVES_AT_HAND = 64
Turn = Mapping[str, Any]
"""One answer as it is kept: see `wire.checked_turn`."""


@dataclass
class _UnderWay:
    """A life, the answers it was given, and what was seen before each of them and after the last.

    world  number of its world
    """

    world: int
    living: EpisodeRunner
    turns: list[Turn]
    seen: list[Observation | None]

    def take(self, turn: Turn) -> None:
        self.living.step(decision_from(dict(turn)))
        self.turns.append(turn)
        self.seen.append(None if self.living.done else self.living.observation)

    def agrees(self, turns: Sequence[Turn]) -> bool:
        """Whether one of the two lists of answers begins with the other."""
        return all(mine == given for mine, given in zip(self.turns, turns, strict=False))


class Attempt:
    """The worlds and lives of one attempt; safe to use from several threads.

    name    of the attempt, for records
    suite   the registered suite
    worlds  one task for each world, in the suite's order: see `HiddenTask`
    lives   for every life, by its number, the number of its world

    Worlds are drawn when they are first asked for. Raises InputError for an unknown suite and
    for one on the cohort track.
    """

    def __init__(
        self, suite_id: str, key: bytes, name: str, *, only_language_models: bool = False
    ) -> None:
        self.suite: Suite = find_suite(suite_id)
        if self.suite.track != "personal":
            raise InputError(f"suite {suite_id} is of a cohort; hidden seeds are personal")
        self.name = name
        self.worlds: tuple[HiddenTask, ...] = tuple(
            hidden_task(task, key)
            for task in self.suite.tasks
            if task.language_models or not only_language_models
        )
        if not self.worlds:
            raise InputError(f"suite {suite_id} has no task for agents that ask a language model")
        counts = [world.users * self.suite.seeds for world in self.worlds]
        self.lives = tuple(w for w, count in enumerate(counts) for _ in range(count))
        self._first = [sum(counts[:w]) for w in range(len(counts))]
        self._lock = RLock()
        self._kept: dict[int, CatalogData] = {}
        self._drawn: dict[int, list[tuple[int, int]]] = {}
        self._public: dict[int, PublicData] = {}
        self._spare: dict[int, list[Lifelong]] = {}
        self._at_hand: OrderedDict[int, _UnderWay] = OrderedDict()

    def public(self, world: int) -> PublicData:
        """What an agent may study of a world before its first life."""
        with self._lock:
            if world not in self._public:
                task = self.worlds[world]
                env = self._env(world)
                self._public[world] = public_data(env.world, seed_from(task.key, "prepare"))
                self._spare[world].append(env)
            return self._public[world]

    def poster(self, world: int, item: int) -> bytes:
        """The picture of an item as PNG; raises InputError for an unknown item."""
        posters = self.public(world).catalog.posters
        if not 0 <= item < len(posters):
            raise InputError(f"there is no item {item}; items run from 0 to {len(posters) - 1}")
        return picture_message(posters[item])

    def life(self, life: int) -> tuple[str, int, int]:
        """Task, seed and user of a life: for records, never for an agent."""
        world = self.lives[life]
        with self._lock:
            self._keep(world)
            if world not in self._drawn:
                self._drawn[world] = self.worlds[world].episodes(self.suite.seeds)
        return (self.worlds[world].name, *self._drawn[world][life - self._first[world]])

    def brief(self, life: int) -> Brief:
        """What an agent is told before a life."""
        with self._lock:
            return self._lived(life, []).living.brief

    def observe(self, life: int, turns: Sequence[Turn]) -> Observation | None:
        """What an agent sees after it gave these answers in a life; None where that is over.

        The next answer to a life that is at hand costs one step of its environment; any other
        question lives it again. Raises InputError for answers after the end.
        """
        with self._lock:
            lived = self._lived(life, turns)
            return lived.seen[len(turns)]

    def standing(self, life: int, turns: Sequence[Turn]) -> dict[str, Any]:
        """All that an agent may know of a life, as JSON values: what a client resumes from.

        turn         number of the answer that is due, which is the number of those given
        brief        as in `brief`
        seen         what was seen before each of the answers given
        observation  what is seen now; None where the life is over
        """
        with self._lock:
            lived = self._lived(life, turns)
            *seen, now = map(observation_message, lived.seen[: len(turns) + 1])
            brief = brief_message(lived.living.brief)
        return {"turn": len(turns), "brief": brief, "seen": seen, "observation": now}

    def living(self, life: int) -> EpisodeRunner:
        """The life anew, at its beginning."""
        task, seed, user = self.life(life)
        world = self.lives[life]
        own = self.worlds[world].agent_seed(user)
        env = self._env(world)
        return EpisodeRunner(env, task=task, seed=seed, user=user, policy=AGENT, agent_seed=own)

    def _lived(self, life: int, turns: Sequence[Turn]) -> _UnderWay:
        """The life at hand, having been given at least these answers."""
        if not 0 <= life < len(self.lives):
            raise InputError(f"there is no life {life}; lives run from 0 to {len(self.lives) - 1}")
        lived = self._at_hand.pop(life, None)
        if lived is None or not lived.agrees(turns):
            if lived is not None:
                self._let_go(lived)
            living = self.living(life)
            lived = _UnderWay(self.lives[life], living, [], [living.observation])
        self._at_hand[life] = lived
        if len(self._at_hand) > LIVES_AT_HAND:
            self._let_go(self._at_hand.popitem(last=False)[1])
        for turn in turns[len(lived.turns) :]:
            if lived.living.done:
                raise InputError(f"life {life} was over after {len(lived.turns)} turns")
            lived.take(turn)
        return lived

    def _env(self, world: int) -> Lifelong:
        """An environment of a world that nobody lives in now."""
        with self._lock:
            self._keep(world)
            spare = self._spare.setdefault(world, [])
            return spare.pop() if spare else self.worlds[world].make()

    def _keep(self, world: int) -> None:
        """Have its catalog in memory for as long as this attempt is."""
        if world not in self._kept:
            self._kept[world] = load_data(self.worlds[world].catalog)

    def _let_go(self, lived: _UnderWay) -> None:
        self._spare[lived.world].append(lived.living.env)
