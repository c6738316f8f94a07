"""One turn: what users do with slates, and what that does to them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...records import NOTHING
from ..dynamics.boredom import pull, update_boredom
from ..dynamics.influence import influence
from ..dynamics.interest_evolution import direction_draws, update_interests
from ..dynamics.long_term_satisfaction import innovation_noise, update_exposure
from ..dynamics.patience import tire
from ..dynamics.satiation import satiate
from ..numerics.compiled import compiled
from ..numerics.elementary import exp_of
from ..numerics.philox import Purpose
from .between_sessions import next_session
from .choice import Floats, Ints, Units, dot, respond_rows
from .population import Population, put_rows, rows, with_interests, with_mood, with_rows
from .rules import in_catalog, offences
from .world import World


@dataclass(frozen=True, eq=False)
class Response:
    """chosen: (B) item or NOTHING; reward: (B) enjoyment of it in [0, 1], else 0."""

    chosen: Ints
    reward: Floats


def respond(
    world: World, now: Population, slates: Ints, purpose: Purpose = Purpose.RESPONSE
) -> Response:
    """What the users do with slates (B, K) of item indices, NOTHING where a slot is empty.

    purpose  of the draws; whoever plays out of turn brings a purpose of its own
    """
    slates = in_catalog(world, slates, now.day)
    chosen, reward = np.empty(len(now), dtype=np.int64), np.empty(len(now))
    respond_rows(
        world.beta,
        world.nothing,
        world.traits,
        now.seed,
        now.user,
        clock(world, now),
        int(purpose),
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


def onward(world: World, now: Population, slates: Ints, response: Response) -> Population:
    """`advance` where nobody's life is over, or where it does not matter what becomes of them."""
    slates = in_catalog(world, slates, now.day)
    later = _after(world, now, slates, response)
    ended = (later.turn == world.scenario.turns) | (later.patience <= 0)
    index = np.flatnonzero(ended & ~now.over)
    if len(index) == len(now):
        return next_session(world, later)
    if len(index):
        ending = rows(later, index)
        part = next_session(world, ending)
        later = put_rows(later, index, part, before=ending, shared=now)
    return later


def advance(world: World, now: Population, slates: Ints, response: Response) -> Population:
    """One turn later; where that ended a session, the calendar moves to the next one.

    Users whose life is over stand still.
    """
    later = onward(world, now, slates, response)
    over = np.flatnonzero(now.over)
    return with_rows(later, over, rows(now, over)) if len(over) else later


def _after(world: World, now: Population, slates: Ints, response: Response) -> Population:
    scenario, chosen = world.scenario, response.chosen
    picked = chosen != NOTHING
    later = replace(
        now,
        turn=now.turn + 1,
        recent=remembered(now.recent, chosen),
        earned=now.earned + response.reward,
    )
    if scenario.patience is not None:
        later = replace(later, patience=tire(scenario.patience, now.patience, picked))
    if scenario.trust is not None:
        broken = offences(world, now, slates)
        later = replace(later, offences=now.offences + broken)
    if scenario.influence is not None or scenario.boredom is not None:
        carrier = carrying_interest(world, now, chosen, slates)
        moved = np.where(now.serves == NOTHING, carrier, NOTHING)
        later = _swayed(world, later, slates, chosen, moved)
        later = with_interests(world, later, moved)
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
    world: World, later: Population, slates: Ints, chosen: Ints, interest: Ints
) -> Population:
    """Later, with one interest (B) moved by what was consumed and shown; none where NOTHING."""
    taste, anchor = later.taste, later.anchor
    if world.scenario.influence is not None:
        taste, anchor = influence(
            world.scenario.influence, taste, anchor, interest, world.traits, chosen, slates
        )
    if world.scenario.boredom is not None:
        row = np.flatnonzero((chosen != NOTHING) & (interest != NOTHING))
        taste = taste.copy()
        taste[row, interest[row]] = pull(
            world.scenario.boredom,
            taste[row, interest[row]],
            world.hidden.z[chosen[row], None],
            np.ones((len(row), 1), dtype=bool),
        )
    return replace(later, taste=taste, anchor=anchor)


def remembered(recent: Ints, chosen: Ints) -> Ints:
    """(B, MEMORY) the last items chosen after one more choice (B), if it is one."""
    out = np.empty_like(recent)
    _remember(recent, chosen, out)
    return out


@compiled
def _remember(recent: Ints, chosen: Ints, out: Ints) -> None:
    for row in range(len(recent)):
        step = 1 if chosen[row] != NOTHING else 0
        if step:
            out[row, 0] = chosen[row]
        for k in range(recent.shape[1] - step):
            out[row, k + step] = recent[row, k]


def carrying_interest(world: World, now: Population, chosen: Ints, slates: Ints) -> Ints:
    """(B) the interest m with the largest w_m e^{β⟨u_m, z⟩} for the item that was chosen.

    Where nothing was chosen, for the first item that was shown; NOTHING where none was.
    """
    carrier = np.full(len(now), NOTHING)
    _carry(world.beta, world.traits, now.interests, now.weights, chosen, slates, carrier)
    return carrier


@compiled
def _carry(
    beta: float,
    traits: Units,
    interests: Units,
    weights: Floats,
    chosen: Ints,
    slates: Ints,
    carrier: Ints,
) -> None:
    d = interests.shape[2]
    for row in range(len(chosen)):
        item = chosen[row]
        for shown in slates[row]:
            if item == NOTHING:
                item = shown
        most = -1.0
        if item == NOTHING:
            continue
        for m in range(weights.shape[1]):
            strength = weights[row, m] * exp_of(beta * dot(interests[row, m], traits[item, :d]))
            if strength > most:
                carrier[row], most = m, strength
