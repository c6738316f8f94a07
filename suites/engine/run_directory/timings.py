"""timings.json: all measured times of a run, and peak memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ....errors import InputError
from ....records import Score
from ..episode_runner import EpisodeResult
from .reader import read_json

TIMINGS_FILE = "timings.json"


@dataclass(frozen=True)
class GenerationTimings:
    """One generated text.

    turn                 number of the decision that it was written for
    seconds              wall time
    first_token_seconds  wall time until the first token
    rounds               seconds of each round: drafting, verifying, everything else
    """

    turn: int
    seconds: float
    first_token_seconds: float
    rounds: list[list[float]]


@dataclass(frozen=True)
class EpisodeTimings:
    """One episode: seconds and bytes of every decision, its texts, and the agent's first error."""

    task: str
    seed: int
    user: int
    policy: str
    decisions: list[float]
    memory: list[int]
    generations: list[GenerationTimings]
    error: str


@dataclass(frozen=True)
class Timings:
    """The whole of timings.json: scores of measured times, and the times of every episode."""

    scores: list[Score]
    episodes: list[EpisodeTimings]


def timings_of(result: EpisodeResult) -> dict[str, Any]:
    """What an episode adds to timings.json, as JSON values."""
    episode = result.episode
    texts = [
        GenerationTimings(
            turn=turn,
            seconds=reply.generation.seconds,
            first_token_seconds=reply.generation.first_token_seconds,
            rounds=[
                [one.draft_seconds, one.verify_seconds, one.decide_seconds]
                for one in reply.generation.rounds
            ],
        )
        for turn, replies in enumerate(result.replies)
        for reply in replies
    ]
    seconds, memory = list(result.seconds), list(result.memory)
    return asdict(EpisodeTimings(*episode.key, seconds, memory, texts, result.error))


def read_timings(path: Path) -> dict[str, Any]:
    """The JSON values of timings.json, ``scores`` and ``episodes``; raises InputError."""
    timings = read_json(path / TIMINGS_FILE, TypeAdapter(Timings))
    for one in timings.episodes:
        turns = len(one.decisions)
        if len(one.memory) != turns or any(not 0 <= g.turn < turns for g in one.generations):
            where = f"{one.task}, seed {one.seed}, user {one.user} ({one.policy})"
            raise InputError(f"{path / TIMINGS_FILE} was changed: {where} has other turns")
    return asdict(timings)
