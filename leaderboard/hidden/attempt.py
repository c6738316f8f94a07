"""One attempt at a suite on hidden seeds, replayed from stored answers.

An attempt holds caches only. What an agent is shown is a function of the attempt's key and of the
answers so far, so a server that was killed continues from the answers it has stored.
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
from ..keys import seed_from
from .messages import answer_from, brief_message, observation_message, poster_message
from .task import HiddenTask, hidden_task

CACHED_EPISODES = 64
StoredAnswer = Mapping[str, Any]
"""One answer as a board stores it: see `messages.Answer.stored`."""


@dataclass
class EpisodeState:
    """A running episode with its history.

    task          index of its task
    answers       given so far
    observations  before each answer and after the last one; None at the end of the episode
    """

    task: int
    runner: EpisodeRunner
    answers: list[StoredAnswer]
    observations: list[Observation | None]

    def step(self, answer: StoredAnswer) -> None:
        """Apply the next answer."""
        self.runner.step(answer_from(answer).decision())
        self.answers.append(answer)
        self.observations.append(None if self.runner.done else self.runner.observation)

    def agrees(self, answers: Sequence[StoredAnswer]) -> bool:
        """Whether one of the two lists of answers is a prefix of the other."""
        return all(mine == given for mine, given in zip(self.answers, answers, strict=False))


class Attempt:
    """The tasks and episodes of one attempt; safe to use from several threads.

    name           of the attempt, for records
    suite          the registered suite
    tasks          the suite's tasks on hidden seeds, in the suite's order
    episode_tasks  for every episode, by number, the index of its task

    Catalogs are drawn when they are first used. Raises InputError for an unknown suite and for
    one on the cohort track.
    """

    def __init__(
        self, suite_id: str, key: bytes, name: str, *, only_language_models: bool = False
    ) -> None:
        self.suite: Suite = find_suite(suite_id)
        if self.suite.track != "personal":
            raise InputError(
                f"suite {suite_id} is on the cohort track; hidden-seed play needs the personal one"
            )
        self.name = name
        self.tasks: tuple[HiddenTask, ...] = tuple(
            hidden_task(task, key)
            for task in self.suite.tasks
            if task.language_models or not only_language_models
        )
        if not self.tasks:
            raise InputError(f"suite {suite_id} has no task for agents with a language model")
        counts = [task.users * self.suite.seeds for task in self.tasks]
        self.episode_tasks = tuple(k for k, count in enumerate(counts) for _ in range(count))
        self._first_episode = [sum(counts[:k]) for k in range(len(counts))]
        self._lock = RLock()
        self._catalogs: dict[int, CatalogData] = {}
        self._episodes: dict[int, list[tuple[int, int]]] = {}
        self._public: dict[int, PublicData] = {}
        self._idle_envs: dict[int, list[Lifelong]] = {}
        self._states: OrderedDict[int, EpisodeState] = OrderedDict()

    def public(self, task: int) -> PublicData:
        """Public data of a task: what an agent prepares from."""
        with self._lock:
            if task not in self._public:
                env = self._env(task)
                seed = seed_from(self.tasks[task].key, "prepare")
                self._public[task] = public_data(env.world, seed)
                self._idle_envs[task].append(env)
            return self._public[task]

    def poster(self, task: int, item: int) -> bytes:
        """The poster of an item as PNG; raises InputError for an unknown item."""
        posters = self.public(task).catalog.posters
        if not 0 <= item < len(posters):
            raise InputError(f"there is no item {item}; items run from 0 to {len(posters) - 1}")
        return poster_message(posters[item])

    def episode_key(self, episode: int) -> tuple[str, int, int]:
        """(task, environment seed, user) of an episode: for records, never for an agent."""
        task = self.episode_tasks[episode]
        with self._lock:
            self._load_catalog(task)
            if task not in self._episodes:
                self._episodes[task] = self.tasks[task].episodes(self.suite.seeds)
        return (self.tasks[task].name, *self._episodes[task][episode - self._first_episode[task]])

    def brief(self, episode: int) -> Brief:
        """The brief of an episode."""
        with self._lock:
            return self._state(episode, []).runner.brief

    def observe(self, episode: int, answers: Sequence[StoredAnswer]) -> Observation | None:
        """The observation after these answers in an episode; None where it is over.

        The next answer to a cached episode costs one environment step; any other request replays
        the episode. Raises InputError for answers after the end.
        """
        with self._lock:
            return self._state(episode, answers).observations[len(answers)]

    def episode_message(self, episode: int, answers: Sequence[StoredAnswer]) -> dict[str, Any]:
        """All that an agent may know of an episode, as JSON values: what a client resumes from.

        turn         index of the next answer, which is the number of answers given
        brief        as in `brief`
        history      the observation before each answer given
        observation  the current one; None where the episode is over
        """
        with self._lock:
            state = self._state(episode, answers)
            shown = map(observation_message, state.observations[: len(answers) + 1])
            *history, current = shown
            brief = brief_message(state.runner.brief)
        return {"turn": len(answers), "brief": brief, "history": history, "observation": current}

    def new_runner(self, episode: int) -> EpisodeRunner:
        """A runner at the beginning of the episode."""
        task, seed, user = self.episode_key(episode)
        index = self.episode_tasks[episode]
        own = self.tasks[index].agent_seed(user)
        env = self._env(index)
        return EpisodeRunner(env, task=task, seed=seed, user=user, policy=AGENT, agent_seed=own)

    def _state(self, episode: int, answers: Sequence[StoredAnswer]) -> EpisodeState:
        """The cached episode, stepped with at least these answers."""
        count = len(self.episode_tasks)
        if not 0 <= episode < count:
            raise InputError(f"there is no episode {episode}; episodes run from 0 to {count - 1}")
        state = self._states.pop(episode, None)
        if state is None or not state.agrees(answers):
            if state is not None:
                self._release(state)
            runner = self.new_runner(episode)
            state = EpisodeState(self.episode_tasks[episode], runner, [], [runner.observation])
        self._states[episode] = state
        if len(self._states) > CACHED_EPISODES:
            self._release(self._states.popitem(last=False)[1])
        for answer in answers[len(state.answers) :]:
            if state.runner.done:
                raise InputError(f"episode {episode} ended after {len(state.answers)} turns")
            state.step(answer)
        return state

    def _env(self, task: int) -> Lifelong:
        """An environment of a task that no running episode uses."""
        with self._lock:
            self._load_catalog(task)
            idle = self._idle_envs.setdefault(task, [])
            return idle.pop() if idle else self.tasks[task].make()

    def _load_catalog(self, task: int) -> None:
        """Keep the task's catalog in memory for as long as this attempt exists."""
        if task not in self._catalogs:
            self._catalogs[task] = load_data(self.tasks[task].catalog)

    def _release(self, state: EpisodeState) -> None:
        self._idle_envs[state.task].append(state.runner.env)
