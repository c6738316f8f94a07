"""Reward over the course of a life: where a change of taste can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .statistics import Estimate, ratio_interval
from .trace import Trace


@dataclass(frozen=True, slots=True)
class Point:
    """Mean reward per turn at one place of the life: session or turn `at`, counted from 0."""

    at: int
    reward: Estimate


def reward_curve(trace: Trace, policy: str, by: Literal["session", "turn"]) -> list[Point]:
    """Σ reward / Σ turns within every session (or turn of a session) of one policy's lives.

    In order of `at`; empty where the policy lived none of these lives.
    """
    lives = trace.lives(policy)
    points = []
    for at, part in lives.groupby(by) if len(lives) else ():
        by_user = part.groupby(trace.unit)["reward"]
        found = ratio_interval(by_user.sum(), by_user.size())
        if found is not None:
            points.append(Point(int(at), found))
    return points


def axis_of(trace: Trace) -> Literal["session", "turn"]:
    """What a curve of these lives runs over: sessions, or turns where there is one session."""
    return "session" if len(trace.steps) and trace.steps["session"].max() > 0 else "turn"
