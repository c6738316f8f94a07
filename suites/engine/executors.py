"""Who lives the lives: this process, several beside it, or a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, islice
from pickle import loads
from threading import Lock, Thread
from time import sleep
from typing import Any

from ...agents.protocols import AnyAgent, BatchAgent, PrivilegedAgent
from ...envs.lifelong import Lifelong
from ...errors import AgentError, InputError
from ..suite import Suite, Task
from .episode import EpisodeResult, EpisodeRunner, Key
from .in_process_agent import DecisionSource, InProcessAgent
from .stepping import by_calendar, in_step
from .subprocess_agent import DECISION_SECONDS, SubprocessAgent

Lives = Generator[list[EpisodeResult], None, None]
AGENT, COUNTERFACTUAL = "agent", "agent-counterfactual"
TOGETHER = 16
"""Lives that an agent with ``act_batch`` lives side by side; always the same ones."""

DEATHS = 3
"""How often in a row the workers may die without finishing anything."""


@dataclass(frozen=True)
class AgentSpec:
    """The agent under test, ready to be sent to where lives are lived.

    recipe      the pickled agent, as it was before `prepare`
    companions  name and likewise, of everybody else: a worker may not know what a program registers
    isolated    whether the agent gets a process of its own
    limit       seconds that one of its decisions may take there
    calendar    whether it learns across the users of a group, day by day
    """

    recipe: bytes
    references: tuple[tuple[str, bytes], ...] = ()
    isolated: bool = True
    limit: float = DECISION_SECONDS
    calendar: bool = False


@dataclass(frozen=True)
class EpisodeBatch:
    """Lives of one task that are lived together, and counted as lived together or not at all."""

    task: Task
    keys: tuple[Key, ...]


def groups(suite: Suite, tasks: Iterable[Task], agent: AnyAgent) -> Iterator[EpisodeBatch]:
    """Every life of a run, in groups that no number of workers changes; scenarios go in full.

    A group is one user with all policies; TOGETHER users where the agent decides for many at
    once; all users of a seed where it learns across them.
    """
    for named in tasks:
        task = replace(named, scenario=named.spec(), sessions=None, turns=None)
        lives = task.lives(suite.seeds)
        parts: Iterable[Sequence[tuple[int, int]]] = ([life] for life in lives)
        if suite.track == "cohort":
            parts = (list(part) for _, part in groupby(lives, key=lambda life: life[0]))
        elif isinstance(agent, BatchAgent):
            parts = [lives[k : k + TOGETHER] for k in range(0, len(lives), TOGETHER)]
        for part in parts:
            keys = [(task.name, *life, policy) for policy in policies(task) for life in part]
            yield EpisodeBatch(task, tuple(keys))


def policies(task: Task) -> tuple[str, ...]:
    """Who lives each life of a task: the agent, its twin where there is one, and companions."""
    return (AGENT, *([COUNTERFACTUAL] if task.counterfactual else []), *task.references)


def here(cast: AgentSpec, ahead: Iterable[EpisodeBatch]) -> Lives:
    """Live group after group in this process."""
    with ExitStack() as stack:
        troupe = Worker(cast)
        stack.callback(troupe.dismiss)
        for group in ahead:
            yield troupe.live(group)


def beside(cast: AgentSpec, ahead: Sequence[EpisodeBatch], workers: int) -> Lives:
    """Live groups in `workers` processes, yielding them as they end, in any order.

    What a worker that dies was living is lived again by another; AgentError where workers keep
    dying and nothing gets done.
    """
    from joblib import Parallel, delayed

    left, deaths = dict(enumerate(ahead)), 0
    while left:
        pool = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)
        try:
            jobs = [delayed(_numbered)(cast, *item, os.getpid()) for item in left.items()]
            for number, lives in pool(jobs):
                del left[number]
                deaths = 0
                yield lives
        except BrokenExecutor as error:
            deaths += 1
            if deaths == DEATHS:
                raise AgentError(
                    f"workers died {DEATHS} times in a row, perhaps for want of memory; "
                    "use fewer --workers and go on with --resume"
                ) from error


def on_dask(
    cast: AgentSpec, ahead: Sequence[EpisodeBatch], scheduler: str | None, workers: int
) -> Lives:
    """Live groups on the Dask cluster at `scheduler`, or on one of `workers` processes here.

    Dask itself moves work from workers that die. Raises InputError where there is no such
    scheduler, and AgentError where one group costs several workers their lives.
    """
    import distributed

    dask: Any = distributed
    with ExitStack() as stack:
        client = stack.enter_context(_client(dask, stack, scheduler, workers))
        stack.callback(lambda: client.run(_troupe.cache_clear))
        queue = iter(ahead)
        window = 2 * max(1, sum(client.nthreads().values()))

        def submit(group: EpisodeBatch) -> Any:
            return client.submit(live, cast, group, pure=False, retries=DEATHS)

        done = dask.as_completed([submit(group) for group in islice(queue, window)])
        try:
            for future in done:
                yield future.result()
                future.release()
                done.update([submit(group) for group in islice(queue, 1)])
        except dask.KilledWorker as error:
            raise AgentError(
                "workers died over one group of lives again and again, perhaps for want of "
                "memory; mend that and go on with --resume"
            ) from error


def _client(dask: Any, stack: ExitStack, scheduler: str | None, workers: int) -> Any:
    if scheduler is None:
        cluster = dask.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=40
        )
        return dask.Client(stack.enter_context(cluster))
    try:
        return dask.Client(scheduler)
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"no Dask scheduler at {scheduler!r}: {why}") from None


def live(cast: AgentSpec, group: EpisodeBatch) -> list[EpisodeResult]:
    """Live one group with the players that this process keeps."""
    with _lock:
        return _troupe(cast).live(group)


class Worker:
    """The players of one process, prepared when they are needed, and the worlds they meet."""

    def __init__(self, cast: AgentSpec) -> None:
        self._cast = cast
        self._players: dict[str, DecisionSource] = {}
        self._task: Task | None = None
        self._spare: dict[bool, list[Lifelong]] = {}

    def live(self, group: EpisodeBatch) -> list[EpisodeResult]:
        """All lives of a group, policy by policy."""
        lives = []
        for policy, keys in groupby(group.keys, key=lambda key: key[3]):
            several = list(keys)
            envs = self._envs(group.task, policy == COUNTERFACTUAL, len(several))
            player = self._player(policy)
            player.prepare(envs[0].world)
            player.begin()
            false = self._envs(group.task, False, 1)[0].world.tampered
            living = [
                EpisodeRunner(env, task=task, seed=seed, user=user, policy=policy, tampered=false)
                for env, (task, seed, user, _) in zip(envs, several, strict=True)
            ]
            calendar = self._cast.calendar and policy in (AGENT, COUNTERFACTUAL)
            lives += (by_calendar if calendar else in_step)(player, living)
        return lives

    def dismiss(self) -> None:
        """End the agent's processes."""
        for player in self._players.values():
            if isinstance(player, SubprocessAgent):
                player.stop()

    def _player(self, policy: str) -> DecisionSource:
        if policy not in self._players:
            self._players[policy] = _player(self._cast, policy)
        return self._players[policy]

    def _envs(self, task: Task, counterfactual: bool, count: int) -> list[Lifelong]:
        """`count` environments of a task, or of its twin; the same ones again while they fit."""
        if self._task != task:
            self._task, self._spare = task, {False: [], True: []}
        spare = self._spare[counterfactual]
        while len(spare) < count:
            spare.append(task.make(counterfactual=counterfactual))
        return spare[:count]


def _player(cast: AgentSpec, policy: str) -> DecisionSource:
    if policy not in (AGENT, COUNTERFACTUAL):
        recipe = dict(cast.references)[policy]
        return InProcessAgent(loads(recipe), trusted=True, recipe=recipe)
    if cast.isolated:
        return SubprocessAgent(cast.recipe, cast.limit)
    agent: AnyAgent = loads(cast.recipe)
    return InProcessAgent(agent, trusted=isinstance(agent, PrivilegedAgent), recipe=cast.recipe)


def _numbered(
    cast: AgentSpec, number: int, group: EpisodeBatch, runner: int
) -> tuple[int, list[EpisodeResult]]:
    if runner != os.getpid():
        _end_with(runner)
    return number, live(cast, group)


@lru_cache(maxsize=1)
def _end_with(runner: int) -> None:
    """End this worker soon after its runner, which may be killed without a word."""

    def progress() -> None:
        while os.getppid() == runner:
            sleep(0.5)
        os._exit(1)

    Thread(target=progress, daemon=True).start()


@lru_cache(maxsize=1)
def _troupe(cast: AgentSpec) -> Worker:
    """One troupe per worker process and agent."""
    return Worker(cast)


_lock = Lock()
"""Threads of one Dask worker take turns: they share the troupe."""
