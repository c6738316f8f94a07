"""Users alive in a world: a struct of arrays, and the one function that moves it on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ..records import NOTHING
from . import philox
from .choice import REPEAT_COST, Floats, affinity, choose, enjoyment, position
from .dynamics.drift import drift_noise, drift_one_day, stationary_taste
from .dynamics.shift import rotate, shift_plan
from .philox import Purpose
from .world import World

Ints = NDArray[np.int64]
MEMORY = 20


@dataclass(frozen=True, eq=False)
class Population:
    """B users under one seed; the single environment is a population of one.

    user     (B) rows in the world
    taste    (B, d) x, the current taste; u = x / ‖x‖ is a read-out
    anchor   (B, d) a, the long-run taste
    day      (B) calendar days since the life began
    session  (B) index of the session; turn: (B) index of the turn within it
    recent   (B, MEMORY) the last items chosen, newest first, NOTHING where none
    """

    seed: int
    user: Ints
    taste: Floats
    anchor: Floats
    day: Ints
    session: Ints
    turn: Ints
    recent: Ints


@dataclass(frozen=True, eq=False)
class Response:
    """chosen: (B) item or NOTHING; reward: (B) enjoyment of it in [0, 1], else 0."""

    chosen: Ints
    reward: Floats


def begin(world: World, seed: int, users: Ints) -> Population:
    """Users (B) on day 0; where tastes drift, they have been drifting for long."""
    anchor = world.hidden.anchors[users]
    zeros = np.zeros(len(users), dtype=np.int64)
    taste = anchor
    if world.scenario.drift is not None:
        noise = drift_noise(seed, users, zeros[:, None], anchor.shape[1])[:, 0]
        taste = stationary_taste(world.scenario.drift, anchor, noise)
    recent = np.full((len(users), MEMORY), NOTHING, dtype=np.int64)
    return Population(seed, users, taste, anchor, zeros, zeros, zeros, recent)


def respond(world: World, now: Population, slates: Ints) -> Response:
    """What the users do with slates (B, K) of item indices, NOTHING where a slot is empty."""
    item = np.maximum(slates, 0)
    shown = slates != NOTHING
    hidden = world.hidden
    repeat = REPEAT_COST * (slates[:, :, None] == now.recent[:, None, :]).any(axis=2)
    liking = affinity(world.beta, now.taste, hidden.z[item]) - repeat
    utility = np.where(shown, liking + hidden.appeal[item] + position(slates.shape[1]), -np.inf)

    time = now.session * world.scenario.turns + now.turn
    keys = np.hstack([np.zeros((len(slates), 1), dtype=np.int64), item + 1])
    choice_draw, enjoyment_draw = philox.uniforms(
        now.seed, now.user[:, None], time[:, None], Purpose.RESPONSE, keys
    )
    noise = philox.gumbel(choice_draw)
    slot = choose(utility, world.nothing, noise[:, 1:], noise[:, 0])

    row = np.arange(len(slates))
    chosen = np.where(slot >= 0, slates[row, slot], NOTHING)
    surprise = ndtri(enjoyment_draw[row, slot + 1])
    enjoyed = enjoyment(liking[row, slot], hidden.quality[item[row, slot]], surprise)
    return Response(chosen, np.where(slot >= 0, enjoyed, 0.0))


def advance(world: World, now: Population, response: Response) -> Population:
    """One turn later; where a session ended, the calendar moves to the next one."""
    scenario = world.scenario
    picked = response.chosen != NOTHING
    shifted = np.hstack([response.chosen[:, None], now.recent[:, :-1]])
    recent = np.where(picked[:, None], shifted, now.recent)
    turn = now.turn + 1
    over = (turn == scenario.turns) & (now.session + 1 < scenario.sessions)
    later = replace(now, turn=np.where(over, 0, turn), session=now.session + over, recent=recent)
    return _days_later(world, later, over) if over.any() else later


def _days_later(world: World, now: Population, rows: NDArray[np.bool_]) -> Population:
    """The next session's day for the users in `rows` (B) bool; the others stand still."""
    scenario, taste, anchor = world.scenario, now.taste, now.anchor
    days = now.day[:, None] + 1 + np.arange(scenario.gap_days)
    if scenario.drift is not None:
        noise = drift_noise(now.seed, now.user, days, taste.shape[1])
    if scenario.shift is not None:
        turning_day, target = shift_plan(scenario.shift, now.seed, now.user, world.num_users)
    for k, day in enumerate(days.T):
        if scenario.shift is not None:
            turning = (rows & (turning_day == day))[:, None]
            turned = rotate(anchor, world.hidden.anchors[target], scenario.shift.angle)
            taste = np.where(turning, taste + turned - anchor, taste)
            anchor = np.where(turning, turned, anchor)
        if scenario.drift is not None:
            drifted = drift_one_day(scenario.drift, taste, anchor, noise[:, k])
            taste = np.where(rows[:, None], drifted, taste)
    return replace(now, taste=taste, anchor=anchor, day=now.day + scenario.gap_days * rows)
