"""Playing episodes with a decision source: in lockstep, or interleaved by calendar day."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from ...agents.protocols import AnyAgent
from ...envs.lifelong import Lifelong
from .decision_source import DecisionSource
from .episode_runner import EpisodeResult, EpisodeRunner
from .in_process_agent import InProcessAgent


def play_episode(
    env: Lifelong, agent: AnyAgent, *, task: str, seed: int, user: int, policy: str
) -> EpisodeResult:
    """Play one episode with a prepared `agent`, in this process.

    An action that no environment could show (unknown or repeated items, too many of them) is
    recorded as invalid and counts as abstention; exceptions of the agent are raised.
    """
    runner = EpisodeRunner(env, task=task, seed=seed, user=user, policy=policy)
    return play_in_lockstep(InProcessAgent(agent, trusted=True), [runner])[0]


def play_in_lockstep(
    source: DecisionSource, runners: Sequence[EpisodeRunner]
) -> list[EpisodeResult]:
    """Play episodes side by side, with one request for the decisions of all running ones a turn."""
    for runner in runners:
        source.open(runner.key, runner.brief, runner.env.ground_truth)
    while running := [runner for runner in runners if not runner.done]:
        decisions = source.decide([(runner.key, runner.observation) for runner in running])
        for runner, decision in zip(running, decisions, strict=True):
            runner.step(decision)
    return _results(source, runners)


def play_by_day(source: DecisionSource, runners: Sequence[EpisodeRunner]) -> list[EpisodeResult]:
    """Play the episodes of a cohort in calendar order: all sessions of day 0, then day 1, …

    An agent that learns across users has, on any day, seen what all of them did before. Sessions
    of one day come in the order of `runners`; a session is played to its end.
    """
    for runner in runners:
        source.open(runner.key, runner.brief, runner.env.ground_truth)
    queue = [(runner.observation.day, number) for number, runner in enumerate(runners)]
    heapify(queue)
    while queue:
        _, number = heappop(queue)
        runner = runners[number]
        session = runner.observation.session
        while not runner.done and runner.observation.session == session:
            runner.step(source.decide([(runner.key, runner.observation)])[0])
        if not runner.done:
            heappush(queue, (runner.observation.day, number))
    return _results(source, runners)


def _results(source: DecisionSource, runners: Sequence[EpisodeRunner]) -> list[EpisodeResult]:
    for runner in runners:
        source.close(runner.key)
    return [runner.result() for runner in runners]
