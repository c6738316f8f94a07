"""Scenarios: which dynamics run, and on what calendar."""

from __future__ import annotations

from dataclasses import dataclass
from math import radians

from ..registry import Registry
from .dynamics.drift import Drift
from .dynamics.shift import Shift


@dataclass(frozen=True)
class Scenario:
    """One kind of life.

    summary      one line for people
    sessions     sessions in a life
    turns        turns in a session
    gap_days     calendar days from one session to the next
    drift        gradual drift, or None
    shift        abrupt shift, or None
    minors_only  draw users under 18 only
    """

    name: str
    summary: str
    sessions: int = 10
    turns: int = 5
    gap_days: int = 7
    drift: Drift | None = None
    shift: Shift | None = None
    minors_only: bool = False


SCENARIOS: Registry[Scenario] = Registry("scenario")

for _scenario in (
    Scenario("stationary", "tastes never change"),
    Scenario(
        "gradual-drift",
        "tastes wander day by day around a long-run anchor",
        drift=Drift(half_life_days=30, dispersion=1.2),
    ),
    Scenario(
        "abrupt-shift",
        "on a hidden day between the 5th and the 7th session tastes turn by 90 degrees",
        shift=Shift(angle=radians(90), first_day=29, last_day=42),
    ),
    Scenario("minor-profile", "users under 18; tastes never change", minors_only=True),
):
    SCENARIOS.register(_scenario.name, _scenario)
