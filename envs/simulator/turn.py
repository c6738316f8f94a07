"""One turn: user responses to slates, and the state transition that follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...records import NOTHING
from ..dynamics.boredom import pull, update_boredom
from ..dynamics.influence import influence
from ..dynamics.interest_evolution import direction_draws, update_interests
from ..dynamics.long_term_satisfaction import innovation_noise, update_exposure
from ..dynamics.patience import update_patience
from ..dynamics.satiation import satiate
from ..numerics.arrays import Floats, Ints, Units
from ..numerics.compiled import compiled
from ..numerics.elementary import exp_of
from ..numerics.philox import Purpose
from ..numerics.vectors import dot_units
from .between_sessions import next_session
from .choice import ChoiceModel, ChoiceState, fill_responses
from .population import (
    Population,
    put_rows,
    take_rows,
    with_directions,
    with_rows,
    with_state_effects,
)
from .rules import count_broken_rules, in_catalog
from .world import World


@dataclass(frozen=True, eq=False)
class Response:
    """Responses of B users: `chosen` (B), item or NOTHING, and `reward` (B) in [0, 1], else 0."""

    chosen: Ints
    reward: Floats


def respond(
    world: World, now: Population, slates: Ints, purpose: Purpose = Purpose.RESPONSE
) -> Response:
    """Responses to slates (B, K) of item indices, NOTHING in empty slots.

    purpose  of the draws; simulations beside the episode pass another one
    """
    slates = in_catalog(world, slates, now.day)
    chosen, reward = np.empty(len(now), dtype=np.int64), np.empty(len(now))
    model, users = choice_model(world), choice_state(world, now)
    fill_responses(model, users, int(purpose), np.ascontiguousarray(slates), chosen, reward)
    return Response(chosen, reward)


def choice_model(world: World) -> ChoiceModel:
    """The constants of a world's choice model."""
    return ChoiceModel(world.beta, world.outside_utility, world.traits)


def choice_state(world: World, now: Population) -> ChoiceState:
    """The part of the users' state that choices depend on."""
    return ChoiceState(
        now.seed,
        now.user,
        time_index(world, now),
        now.interests,
        now.weights,
        now.topic_utility,
        now.scale,
        now.recent,
    )


def time_index(world: World, now: Population) -> Ints:
    """(B) day · turns per session + turn, the time in the address of a turn's draws."""
    return now.day * world.scenario.turns + now.turn


def advance_running(world: World, now: Population, slates: Ints, response: Response) -> Population:
    """`advance` for users whose episode is running; the result is undefined for the others."""
    slates = in_catalog(world, slates, now.day)
    later = _after_turn(world, now, slates, response)
    ended = (later.turn == world.scenario.turns) | (later.patience <= 0)
    index = np.flatnonzero(ended & ~now.over)
    if len(index) == len(now):
        return next_session(world, later)
    if len(index):
        ending = take_rows(later, index)
        part = next_session(world, ending)
        later = put_rows(later, index, part, before=ending, shared=now)
    return later


def advance(world: World, now: Population, slates: Ints, response: Response) -> Population:
    """The population one turn later, or at the next session where the turn ended one.

    Users whose episode is over do not change.
    """
    later = advance_running(world, now, slates, response)
    over = np.flatnonzero(now.over)
    return with_rows(later, over, take_rows(now, over)) if len(over) else later


def _after_turn(world: World, now: Population, slates: Ints, response: Response) -> Population:
    scenario, chosen = world.scenario, response.chosen
    picked = chosen != NOTHING
    later = now.with_columns(
        turn=now.turn + 1,
        recent=updated_recent(now.recent, chosen),
        session_reward=now.session_reward + response.reward,
    )
    if scenario.patience is not None:
        later = later.with_columns(
            patience=update_patience(scenario.patience, now.patience, picked)
        )
    if scenario.trust is not None:
        count = count_broken_rules(world, now, slates)
        later = later.with_columns(broken_rules=now.broken_rules + count)
    if scenario.influence is not None or scenario.boredom is not None:
        strongest = strongest_interest(world, now, chosen, slates)
        moved = np.where(now.recipient == NOTHING, strongest, NOTHING)
        later = _with_influence(world, later, slates, chosen, moved)
        later = with_directions(world, later, moved)
    return with_state_effects(world, _with_consumption(world, later, now, chosen))


def _with_consumption(world: World, later: Population, now: Population, chosen: Ints) -> Population:
    """`later` with the effects of the chosen item on satiation, interests, boredom and exposure."""
    scenario, picked = world.scenario, chosen != NOTHING
    item = np.maximum(chosen, 0)
    if scenario.satiation is not None:
        share = world.topic_share[item] * picked[:, None]
        later = later.with_columns(satiation=satiate(now.satiation, share))
    if scenario.interest_evolution is not None:
        share = world.topic_share[item] * picked[:, None]
        draws = direction_draws(now.seed, now.user, time_index(world, now))
        moved = update_interests(scenario.interest_evolution, now.topic_interest, share, draws)
        later = later.with_columns(topic_interest=moved)
    if scenario.boredom is not None:
        main = np.where(picked, world.topic_share[item].argmax(axis=1), NOTHING)
        topics, left = update_boredom(scenario.boredom, now.recent_topics, now.boredom_left, main)
        later = later.with_columns(recent_topics=topics, boredom_left=left)
    if scenario.long_term_satisfaction is not None:
        noise = innovation_noise(now.seed, now.user, time_index(world, now))
        kale = world.kaleness[item]
        exposure = update_exposure(
            scenario.long_term_satisfaction, now.exposure, kale, picked, noise
        )
        later = later.with_columns(exposure=exposure)
    return later


def _with_influence(
    world: World, later: Population, slates: Ints, chosen: Ints, interest: Ints
) -> Population:
    """`later` with one interest (B) moved by items consumed and shown; none where NOTHING."""
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
    return later.with_columns(taste=taste, anchor=anchor)


def updated_recent(recent: Ints, chosen: Ints) -> Ints:
    """(B, REPEAT_WINDOW) the last items chosen, after one more choice (B) or NOTHING."""
    out = np.empty_like(recent)
    _update_recent(recent, chosen, out)
    return out


@compiled
def _update_recent(recent: Ints, chosen: Ints, out: Ints) -> None:
    for row in range(len(recent)):
        shift = 1 if chosen[row] != NOTHING else 0
        if shift:
            out[row, 0] = chosen[row]
        for k in range(recent.shape[1] - shift):
            out[row, k + shift] = recent[row, k]


def strongest_interest(world: World, now: Population, chosen: Ints, slates: Ints) -> Ints:
    """(B) the interest m with the largest w_m e^{β⟨u_m, z⟩} for the chosen item.

    Where nothing was chosen, for the first item shown; NOTHING where the slate is empty.
    """
    interest = np.full(len(now), NOTHING)
    _strongest(world.beta, world.traits, now.interests, now.weights, chosen, slates, interest)
    return interest


@compiled
def _strongest(
    beta: float,
    traits: Units,
    interests: Units,
    weights: Floats,
    chosen: Ints,
    slates: Ints,
    interest: Ints,
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
            strength = weights[row, m] * exp_of(
                beta * dot_units(interests[row, m], traits[item, :d])
            )
            if strength > most:
                interest[row], most = m, strength
