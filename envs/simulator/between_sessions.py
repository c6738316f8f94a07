"""Transition between sessions: return or churn, and the dynamics of the days in between."""

from __future__ import annotations

import numpy as np

from ..dynamics.drift import drift_days
from ..dynamics.retention import days_away
from ..dynamics.satiation import recover
from ..dynamics.shift import rotate_anchors, shift_plan
from ..dynamics.trust import update_trust
from ..numerics.arrays import Floats, Ints
from .population import Population, recipients, take_rows, with_directions, with_state_effects
from .world import World


def next_session(world: World, now: Population) -> Population:
    """Users at the first turn of their next session, or unchanged with `over` where there is none.

    A user has churned only if all `churn_days` of absence lie within the episode's days.
    """
    scenario = world.scenario
    away = np.full(len(now), scenario.gap_days, dtype=np.int64)
    if scenario.trust is not None:
        mean = now.session_reward / np.maximum(now.turn, 1)
        now = now.with_columns(
            trust=update_trust(scenario.trust, now.trust, mean, now.broken_rules)
        )
    if scenario.retention is not None:
        away = days_away(
            scenario.retention,
            now.seed,
            now.user,
            now.day,
            now.session_reward / np.maximum(now.turn, 1),
            now.trust,
        )
    last = now.session + 1 == scenario.sessions
    churned, over = np.zeros(len(now), dtype=bool), last
    if scenario.retention is not None:
        horizon = scenario.retention.horizon_days
        unobserved = now.day + scenario.retention.churn_days >= horizon
        churned = (away == 0) & ~unobserved & ~last
        over = last | (away == 0) | (now.day + away >= horizon)
    returns = ~over
    session = now.session + returns
    start = scenario.patience.start if scenario.patience else np.inf
    later = after_days(world, now, np.where(returns, away, 0)).with_columns(
        session=session,
        recipient=recipients(world, now.seed, now.user, session),
        turn=np.where(returns, 0, now.turn),
        patience=np.where(returns, start, now.patience),
        session_reward=np.where(returns, 0.0, now.session_reward),
        broken_rules=np.where(returns, 0, now.broken_rules),
        churned=churned,
        over=over,
    )
    return with_state_effects(world, with_directions(world, later))


def after_days(world: World, now: Population, days: Ints) -> Population:
    """Users `days` (B) later, 0 or more, without a session in between."""
    scenario, taste, anchor = world.scenario, now.taste, now.anchor
    first, last = now.day + 1, now.day + days
    if scenario.shift is not None:
        shift_day, target = shift_plan(scenario.shift, now.seed, now.user, world.num_users)
        shifting = np.flatnonzero((first <= shift_day) & (shift_day <= last))
        if shifting.size:
            day_before = shift_day[shifting] - 1
            part = take_rows(now, shifting)
            if scenario.drift is not None:
                part = part.with_columns(taste=_drifted(world, part, first[shifting], day_before))
            target_anchors = world.hidden.anchors[target[shifting]]
            rotated = rotate_anchors(part.anchor, target_anchors, scenario.shift.angle_degrees)
            taste, anchor, first = taste.copy(), anchor.copy(), first.copy()
            taste[shifting] = part.taste + (rotated - part.anchor)
            anchor[shifting] = rotated
            first[shifting] = day_before + 1
    now = now.with_columns(taste=taste, anchor=anchor)
    if scenario.drift is not None:
        now = now.with_columns(taste=_drifted(world, now, first, last))
    now = now.with_columns(day=now.day + days)
    if scenario.satiation is not None:
        now = now.with_columns(satiation=recover(scenario.satiation, now.satiation, days))
    return now


def _drifted(world: World, now: Population, first: Ints, last: Ints) -> Floats:
    """Tastes after the drift of the days first … last (B), both included."""
    assert world.scenario.drift is not None
    return drift_days(world.scenario.drift, now.seed, now.user, first, last, now.taste, now.anchor)
