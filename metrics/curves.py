"""Reward by session or by turn: the curves in which a change of taste shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .statistics import Estimate, ratio_interval
from .trace import Trace

Axis = Literal["session", "turn"]


@dataclass(frozen=True, slots=True)
class Point:
    """Mean reward per turn in session (or turn) number `index`, counted from 0."""

    index: int
    reward: Estimate


def reward_curve(trace: Trace, policy: str, by: Axis) -> list[Point]:
    """Σ reward / Σ turns of one policy within every session (or turn of a session).

    In order of `index`; empty where the policy played no episode.
    """
    steps = trace.steps_of(policy)
    points = []
    for index, part in steps.groupby(by) if len(steps) else ():
        rewards = part.groupby(trace.cluster_by)["reward"]
        found = ratio_interval(rewards.sum(), rewards.size())
        if found is not None:
            points.append(Point(int(index), found))
    return points


def curve_axis(trace: Trace) -> Axis:
    """The x axis of a reward curve: sessions, or turns where episodes have one session only."""
    return "session" if len(trace.steps) and trace.steps["session"].max() > 0 else "turn"
