"""Who lives the lives: this process, or several beside it."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from ..agents import make_agent
from ..agents.base import Agent, PrivilegedAgent
from ..envs.lifelong import Lifelong
from ..envs.log import public_world
from .play import Life, play
from .rundir import Key
from .suite import COMPANIONS, Suite

AnyAgent = Agent | PrivilegedAgent
AGENT_POLICY = "agent"


class Cast:
    """The agent under test and the companions, prepared once per catalog and slate size."""

    def __init__(self, agent: AnyAgent | None) -> None:
        self._players = {name: make_agent(name) for name in COMPANIONS}
        if agent is not None:
            self._players[AGENT_POLICY] = agent
        self._prepared_for: dict[str, tuple[Any, ...]] = {}

    def player(self, policy: str, env: Lifelong) -> AnyAgent:
        """The agent that lives lives of `policy`, ready for the environment's world."""
        agent, world = self._players[policy], env.world
        scenario = world.scenario
        needed = (world.catalog.name, world.slate_size, scenario.cold_users, scenario.cold_items)
        if self._prepared_for.get(policy) != needed:
            agent.prepare(public_world(world))
            self._prepared_for[policy] = needed
        return agent


def here(suite: Suite, agent: AnyAgent, ahead: Sequence[Key]) -> Iterator[Life]:
    """Live the lives with the given keys in this process, one after the other."""
    return _live(suite, Cast(agent), ahead)


def beside(suite: Suite, agent: AnyAgent, ahead: Sequence[Key], workers: int) -> Iterator[Life]:
    """Live the lives in `workers` processes, yielding them as they end, in any order.

    Every worker unpickles its own copy of the agent, as it was before `prepare`.
    """
    from joblib import Parallel, delayed

    recipe = pickle.dumps(agent)
    users = [list(keys) for _, keys in groupby(ahead, key=lambda key: key[:3])]
    pool = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)
    for lived in pool(delayed(_live_elsewhere)(suite, recipe, keys) for keys in users):
        yield from lived


def _live(suite: Suite, cast: Cast, ahead: Iterable[Key]) -> Iterator[Life]:
    tasks = {task.name: task for task in suite.tasks}
    env: Lifelong | None = None
    played = ""
    for name, seed, user, policy in ahead:
        if env is None or played != name:
            env, played = tasks[name].make(), name
        agent = cast.player(policy, env)
        yield play(env, agent, task=name, seed=seed, user=user, policy=policy)


def _live_elsewhere(suite: Suite, recipe: bytes, ahead: Sequence[Key]) -> list[Life]:
    return list(_live(suite, _cast(recipe), ahead))


@lru_cache(maxsize=1)
def _cast(recipe: bytes) -> Cast:
    """One cast per worker process and agent."""
    return Cast(pickle.loads(recipe))
