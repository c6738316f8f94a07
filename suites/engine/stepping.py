"""How lives are lived: one after the other, in step, or interleaved by calendar day."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from ...agents.protocols import AnyAgent
from ...envs.lifelong import Lifelong
from .episode import EpisodeResult, EpisodeRunner
from .in_process_agent import DecisionSource, InProcessAgent


def play(
    env: Lifelong, agent: AnyAgent, *, task: str, seed: int, user: int, policy: str
) -> EpisodeResult:
    """Let a prepared `agent` recommend to `user` under `seed`, in this process.

    An action that no environment could show (unknown or repeated items, too many of them) is
    recorded as invalid and counts as abstention; exceptions of the agent are let through.
    """
    player = InProcessAgent(agent, trusted=True)
    return in_step(player, [EpisodeRunner(env, task=task, seed=seed, user=user, policy=policy)])[0]


def in_step(player: DecisionSource, lives: Sequence[EpisodeRunner]) -> list[EpisodeResult]:
    """Live lives side by side, a turn at a time, asking the player for all of them at once."""
    for life in lives:
        player.open(life.key, life.brief, life.env.ground_truth)
    while ahead := [life for life in lives if not life.over]:
        decisions = player.decide([(life.key, life.observation) for life in ahead])
        for life, decision in zip(ahead, decisions, strict=True):
            life.take(decision)
    return _recorded(player, lives)


def by_calendar(player: DecisionSource, lives: Sequence[EpisodeRunner]) -> list[EpisodeResult]:
    """Live the lives of a cohort in the order of their days: all sessions of day 0, then day 1, …

    An agent that learns across users has, on any day, seen what all of them did before. Sessions
    of one day come in the order of `lives`; a session is played to its end.
    """
    for life in lives:
        player.open(life.key, life.brief, life.env.ground_truth)
    waiting = [(life.observation.day, place) for place, life in enumerate(lives)]
    heapify(waiting)
    while waiting:
        _, place = heappop(waiting)
        life = lives[place]
        session = life.observation.session
        while not life.over and life.observation.session == session:
            life.take(player.decide([(life.key, life.observation)])[0])
        if not life.over:
            heappush(waiting, (life.observation.day, place))
    return _recorded(player, lives)


def _recorded(player: DecisionSource, lives: Sequence[EpisodeRunner]) -> list[EpisodeResult]:
    for life in lives:
        player.close(life.key)
    return [life.record() for life in lives]
