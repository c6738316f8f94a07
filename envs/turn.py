"""One turn: what users do with slates, and what that does to them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..records import NOTHING
from . import exact
from .calendar import next_session
from .choice import Floats, Ints, respond_rows
from .dynamics.boredom import pull, update_boredom
from .dynamics.influence import influence
from .dynamics.interest_evolution import direction_draws, update_interests
from .dynamics.long_term_satisfaction import innovation_noise, update_exposure
from .dynamics.patience import tire
from .dynamics.satiation import satiate
from .dynamics.transient import transient_plan
from .grid import GRID
from .philox import Purpose
from .population import Population, rows, with_interests, with_mood, with_rows
from .rules import offences
from .world import World


@dataclass(frozen=True, eq=False)
class Response:
    """chosen: (B) item or NOTHING; reward: (B) enjoyment of it in [0, 1], else 0."""

    chosen: Ints
    reward: Floats


def respond(world: World, now: Population, slates: Ints) -> Response:
    """What the users do with slates (B, K) of item indices, NOTHING where a slot is empty.

    An item that has not entered the catalog yet leaves its slot empty.
    """
    if world.scenario.cold_items is not None:
        early = world.entry_day[np.maximum(slates, 0)] > now.day[:, None]
        slates = np.where(early, NOTHING, slates)
    chosen, reward = np.empty(len(now), dtype=np.int64), np.empty(len(now))
    respond_rows(
        world.beta,
        world.nothing,
        world.traits,
        now.seed,
        now.user,
        clock(world, now),
        int(Purpose.RESPONSE),
        now.interests,
        now.weights,
        now.topic_utility,
        now.scale,
        now.recent,
        np.ascontiguousarray(slates),
        chosen,
        reward,
    )
    return Response(chosen, reward)


def clock(world: World, now: Population) -> Ints:
    """(B) the turn's number in calendar time, which addresses its draws."""
    return now.day * world.scenario.turns + now.turn


def advance(world: World, now: Population, slates: Ints, response: Response) -> Population:
    """One turn later; where that ended a session, the calendar moves to the next one.

    Users whose life is over stand still.
    """
    later = _after(world, now, slates, response)
    ended = (later.turn == world.scenario.turns) | (later.patience <= 0)
    if not (ended.any() or now.over.any()):
        return later
    index = np.flatnonzero(ended & ~now.over)
    if len(index) == len(now):
        return next_session(world, later)
    if len(index):
        later = with_rows(later, index, next_session(world, rows(later, index)))
    over = np.flatnonzero(now.over)
    return with_rows(later, over, rows(now, over)) if len(over) else later


def _after(world: World, now: Population, slates: Ints, response: Response) -> Population:
    scenario, chosen = world.scenario, response.chosen
    picked = chosen != NOTHING
    recent = now.recent.copy()
    recent[picked, 1:] = now.recent[picked, :-1]
    recent[picked, 0] = chosen[picked]
    later = replace(now, turn=now.turn + 1, recent=recent, earned=now.earned + response.reward)
    if scenario.patience is not None:
        later = replace(later, patience=tire(scenario.patience, now.patience, picked))
    if scenario.trust is not None:
        broken = offences(world, now, slates)
        later = replace(later, offences=now.offences + broken)
    if scenario.influence is not None or scenario.boredom is not None:
        later = with_interests(world, _swayed(world, later, now, slates, chosen))
    return with_mood(world, _affected(world, later, now, chosen))


def _affected(world: World, later: Population, now: Population, chosen: Ints) -> Population:
    """Later, with what consuming an item does to topics and to the reward's scale."""
    scenario, picked = world.scenario, chosen != NOTHING
    item = np.maximum(chosen, 0)
    if scenario.satiation is not None:
        share = world.topic_share[item] * picked[:, None]
        later = replace(later, satiation=satiate(now.satiation, share))
    if scenario.interest_evolution is not None:
        share = world.topic_share[item] * picked[:, None]
        draws = direction_draws(now.seed, now.user, clock(world, now))
        moved = update_interests(scenario.interest_evolution, now.leaning, share, draws)
        later = replace(later, leaning=moved)
    if scenario.boredom is not None:
        main = np.where(picked, world.topic_share[item].argmax(axis=1), NOTHING)
        bored = update_boredom(scenario.boredom, now.bored_with, now.boredom, main)
        later = replace(later, bored_with=bored[0], boredom=bored[1])
    if scenario.long_term_satisfaction is not None:
        noise = innovation_noise(now.seed, now.user, clock(world, now))
        kale = world.kaleness[item]
        exposure = update_exposure(
            scenario.long_term_satisfaction, now.exposure, kale, picked, noise
        )
        later = replace(later, exposure=exposure)
    return later


def _swayed(
    world: World, later: Population, now: Population, slates: Ints, chosen: Ints
) -> Population:
    """Later, with tastes moved by what was consumed and shown."""
    picked, shown = chosen != NOTHING, slates != NOTHING
    if world.scenario.transient is not None:
        gift = transient_plan(
            world.scenario.transient, now.seed, now.user, now.session, world.num_users
        )[0]
        picked, shown = picked & ~gift, shown & ~gift[:, None]
    z = world.hidden.z
    chosen_z = z[np.maximum(chosen, 0)]
    carrier = carrying_interest(world, now, chosen_z)
    if world.scenario.influence is not None:
        taste, anchor = influence(
            world.scenario.influence,
            now.taste,
            now.anchor,
            carrier,
            chosen_z,
            picked,
            z[np.maximum(slates, 0)],
            shown,
        )
        later = replace(later, taste=taste, anchor=anchor)
    if world.scenario.boredom is not None:
        row = np.arange(len(now))
        taste = later.taste.copy()
        moved = taste[row, carrier]
        taste[row, carrier] = pull(
            world.scenario.boredom, moved, chosen_z[:, None], picked[:, None]
        )
        later = replace(later, taste=taste)
    return later


def carrying_interest(world: World, now: Population, z: Floats) -> NDArray[np.int64]:
    """(B) the interest m with the largest w_m e^{β⟨u_m, z⟩} for items z (B, d), one a user."""
    scores = np.einsum("bmd,bd->bm", now.interests.astype(np.float64), z / GRID) * GRID**2
    carrier: NDArray[np.int64] = (now.weights * exact.exp(world.beta * scores)).argmax(axis=1)
    return carrier
