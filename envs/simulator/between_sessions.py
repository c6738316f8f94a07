"""Between two sessions: users come back or not, and the days in between do their work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..dynamics.drift import wander
from ..dynamics.retention import days_away
from ..dynamics.satiation import recover
from ..dynamics.shift import rotate, shift_plan
from ..dynamics.trust import update_trust
from .choice import Floats, Ints
from .population import Population, rows, served_users, with_interests, with_mood
from .world import World


def next_session(world: World, now: Population) -> Population:
    """The first turn of the next session, or, where there is none, the same turn with `over`.

    A user has churned only if the days of absence that this takes lie within the calendar.
    """
    scenario = world.scenario
    away = np.full(len(now), scenario.gap_days, dtype=np.int64)
    if scenario.trust is not None:
        mean = now.earned / np.maximum(now.turn, 1)
        now = replace(now, trust=update_trust(scenario.trust, now.trust, mean, now.offences))
    if scenario.retention is not None:
        away = days_away(
            scenario.retention,
            now.seed,
            now.user,
            now.day,
            now.earned / np.maximum(now.turn, 1),
            now.trust,
        )
    last = now.session + 1 == scenario.sessions
    churned, over = np.zeros(len(now), dtype=bool), last
    if scenario.retention is not None:
        horizon = scenario.retention.horizon_days
        unseen = now.day + scenario.retention.churn_days >= horizon
        churned = (away == 0) & ~unseen & ~last
        over = last | (away == 0) | (now.day + away >= horizon)
    back = ~over
    session = now.session + back
    return with_mood(
        world,
        with_interests(
            world,
            replace(
                days_later(world, now, np.where(back, away, 0)),
                session=session,
                serves=served_users(world, now.seed, now.user, session),
                turn=np.where(back, 0, now.turn),
                patience=np.where(
                    back, scenario.patience.start if scenario.patience else np.inf, now.patience
                ),
                earned=np.where(back, 0.0, now.earned),
                offences=np.where(back, 0, now.offences),
                churned=churned,
                over=over,
            ),
        ),
    )


def days_later(world: World, now: Population, days: Ints) -> Population:
    """The population `days` (B) later without a session, every day lived through; may be 0."""
    scenario, taste, anchor = world.scenario, now.taste, now.anchor
    first, last = now.day + 1, now.day + days
    if scenario.shift is not None:
        turning_day, target = shift_plan(scenario.shift, now.seed, now.user, world.num_users)
        turning = np.flatnonzero((first <= turning_day) & (turning_day <= last))
        if turning.size:
            eve = turning_day[turning] - 1
            part = rows(now, turning)
            if scenario.drift is not None:
                part = replace(part, taste=_wandered(world, part, first[turning], eve))
            towards = world.hidden.anchors[target[turning]]
            turned = rotate(part.anchor, towards, scenario.shift.angle_degrees)
            taste, anchor, first = taste.copy(), anchor.copy(), first.copy()
            taste[turning] = part.taste + (turned - part.anchor)
            anchor[turning] = turned
            first[turning] = eve + 1
    now = replace(now, taste=taste, anchor=anchor)
    if scenario.drift is not None:
        now = replace(now, taste=_wandered(world, now, first, last))
    now = replace(now, day=now.day + days)
    if scenario.satiation is not None:
        now = replace(now, satiation=recover(scenario.satiation, now.satiation, days))
    return now


def _wandered(world: World, now: Population, first: Ints, last: Ints) -> Floats:
    """Tastes after the drift of the days first … last (B), both included."""
    assert world.scenario.drift is not None
    return wander(world.scenario.drift, now.seed, now.user, first, last, now.taste, now.anchor)
