"""Episode batches: which episodes of a run are played together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ...agents.protocols import AnyAgent, BatchAgent
from ...records import EpisodeKey
from ..suite import Suite, Task

EPISODES_PER_BATCH = 16
"""Episodes in one call of `BatchAgent.act_batch`. Its answers may depend on which episodes
share a call, so this does not depend on the number of workers."""


@dataclass(frozen=True)
class EpisodeBatch:
    """Episodes of one task that are played together; all of them are recorded, or none."""

    task: Task
    keys: tuple[EpisodeKey, ...]


def episode_batches(suite: Suite, tasks: Iterable[Task], agent: AnyAgent) -> Iterator[EpisodeBatch]:
    """Every episode of a run, in batches that do not depend on the number of workers.

    A batch is one user with all policies; EPISODES_PER_BATCH users where the agent is a
    `BatchAgent`; all users of a seed on the cohort track. Tasks hold their scenarios in full,
    since a worker may not know what a program registered.
    """
    for named in tasks:
        task = replace(named, scenario=named.spec(), sessions=None, turns=None)
        episodes = task.episodes(suite.seeds)
        parts: Iterable[Sequence[tuple[int, int]]] = ([episode] for episode in episodes)
        if suite.track == "cohort":
            parts = (list(part) for _, part in groupby(episodes, key=lambda episode: episode[0]))
        elif isinstance(agent, BatchAgent):
            size = EPISODES_PER_BATCH
            parts = [episodes[k : k + size] for k in range(0, len(episodes), size)]
        for part in parts:
            keys = [(task.name, *episode, policy) for policy in task.policies for episode in part]
            yield EpisodeBatch(task, tuple(keys))
