"""A worker: plays episode batches with agents and environments that it keeps between them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pickle import loads

from ...agents.protocols import AnyAgent, PrivilegedAgent
from ...envs.lifelong import Lifelong
from ...records import AGENT, COUNTERFACTUAL
from ..suite import Task
from .batches import EpisodeBatch
from .decision_source import DecisionSource
from .episode_runner import EpisodeResult, EpisodeRunner
from .in_process_agent import InProcessAgent
from .stepping import play_by_day, play_in_lockstep
from .subprocess_agent import DECISION_SECONDS, SubprocessAgent


@dataclass(frozen=True)
class AgentSpec:
    """The policies of a run, ready to be sent to workers.

    agent       the pickled agent under test, as it was before `prepare`
    references  name and pickled agent of every reference policy: a worker may not know what a
                program registered
    isolated    whether the agent under test gets a process of its own
    time_limit  seconds that one of its decisions may take there
    cohort      whether it learns across the users of a batch, day by day
    """

    agent: bytes
    references: tuple[tuple[str, bytes], ...] = ()
    isolated: bool = True
    time_limit: float = DECISION_SECONDS
    cohort: bool = False


class Worker:
    """Plays batches; agents are prepared when they are first needed and kept."""

    def __init__(self, spec: AgentSpec) -> None:
        self._spec = spec
        self._sources: dict[str, DecisionSource] = {}
        self._task: Task | None = None
        self._envs: dict[bool, list[Lifelong]] = {}

    def run(self, batch: EpisodeBatch) -> list[EpisodeResult]:
        """Play all episodes of a batch, policy by policy."""
        results = []
        for policy, group in groupby(batch.keys, key=lambda key: key[3]):
            keys = list(group)
            envs = self._environments(batch.task, policy == COUNTERFACTUAL, len(keys))
            source = self._source(policy)
            source.prepare(envs[0].world)
            source.reset()
            tampered = self._environments(batch.task, False, 1)[0].world.tampered
            runners = [
                EpisodeRunner(
                    env, task=task, seed=seed, user=user, policy=policy, tampered=tampered
                )
                for env, (task, seed, user, _) in zip(envs, keys, strict=True)
            ]
            by_day = self._spec.cohort and policy in (AGENT, COUNTERFACTUAL)
            results += (play_by_day if by_day else play_in_lockstep)(source, runners)
        return results

    def close(self) -> None:
        """End the agents' processes."""
        for source in self._sources.values():
            if isinstance(source, SubprocessAgent):
                source.stop()

    def _source(self, policy: str) -> DecisionSource:
        if policy not in self._sources:
            self._sources[policy] = _new_source(self._spec, policy)
        return self._sources[policy]

    def _environments(self, task: Task, counterfactual: bool, count: int) -> list[Lifelong]:
        """`count` environments of a task or its counterfactual, kept until the task changes."""
        if self._task != task:
            self._task, self._envs = task, {False: [], True: []}
        envs = self._envs[counterfactual]
        while len(envs) < count:
            envs.append(task.make(counterfactual=counterfactual))
        return envs[:count]


def _new_source(spec: AgentSpec, policy: str) -> DecisionSource:
    if policy not in (AGENT, COUNTERFACTUAL):
        reference = dict(spec.references)[policy]
        return InProcessAgent(loads(reference), trusted=True, pickled_agent=reference)
    if spec.isolated:
        return SubprocessAgent(spec.agent, spec.time_limit)
    agent: AnyAgent = loads(spec.agent)
    return InProcessAgent(
        agent, trusted=isinstance(agent, PrivilegedAgent), pickled_agent=spec.agent
    )
