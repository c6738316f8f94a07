"""Looking ahead on the true state: slates for what they lead to, not only for what they earn.

A plan is an expectimax over proposed slates and over what the user does with them, followed by
rollouts (Bertsekas, Tsitsiklis & Wu 1997): each leaf lives on for some turns under the manner of
choosing that its first slate came from. States move by the simulator's own `advance`, so that
satiation, influence, patience and trust are looked through as they are.

A plan knows the state and nothing of the user's luck to come. Drift and exposure stand at their
expectation, interests that evolve at their mean; shifts, gifts and the days of return are not
foreseen: where users may stay away, a session's end is worth the sessions that are still to be
expected. In rollouts users do what is likeliest; rewards are expected ones throughout.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..records import NOTHING
from . import exact
from .ceiling import allowed, appraise, best_slate, expected_reward
from .choice import Floats, Ints, Units, appraise_rows, expected_enjoyment, position
from .dynamics.interest_evolution import update_interests
from .dynamics.retention import Retention, return_hazard
from .dynamics.transient import transient_plan
from .population import Population, rows, with_mood
from .turn import Response, advance
from .world import World

LIK = int(os.environ.get("LIK", "0"))
SHORTLIST = 64
"""Items that a plan looks at: so many that are best now, and so many that would be when rested."""


@dataclass(frozen=True)
class Manner:
    """Choosing the best slate for rewards y_j + bonus − price · ⟨share_j, satiation⟩.

    price  what it costs to tire a topic further, for each unit that it is satiated already
    bonus  what it is worth that something is chosen at all; negative rests the user
    """

    price: float = 0.0
    bonus: float = 0.0


MANNERS = (
    Manner(),
    Manner(price=0.1),
    Manner(bonus=0.5),
    Manner(price=0.1, bonus=0.5),
    Manner(bonus=-0.2),
)

Offer = tuple[tuple[int, ...], Manner]
"""A slate, and the manner in which rollouts go on after it."""


@dataclass(frozen=True, eq=False)
class View:
    """What a plan looks at: `items` (n') with their traits and topic shares.

    place   (n) position among `items`, NOTHING for the others
    share   (n', T) topic shares
    usual   reward of a turn at the root, which stands for turns beyond the plan
    """

    items: Ints
    traits: Units
    place: Ints
    share: Floats
    usual: float


Propose = Callable[[World, "View", Floats, Floats, Floats], Iterable[Offer]]
"""From a world, a view, and the utility (n'), reward (n') and satiation (T or 0) of one state:
the slates to think of, each once."""


def proposals(
    world: World, view: View, utility: Floats, reward: Floats, satiation: Floats
) -> list[Offer]:
    """The myopic optimum, the optima of other manners, parts of the myopic one, and nothing."""
    offers: dict[tuple[int, ...], Manner] = {}
    for manner in MANNERS:
        offers.setdefault(_optimum(world, view, utility, reward, satiation, manner), manner)
    myopic = next(iter(offers))
    for part in (myopic[:1], myopic[1:], ()):
        offers.setdefault(part, Manner())
    return list(offers.items())


def plan(
    world: World,
    now: Population,
    depth: int = 1,
    rollout: int = 0,
    propose: Propose = proposals,
) -> tuple[tuple[int, ...], float]:
    """The slate with the highest expected reward over `depth` + `rollout` turns, and that reward.

    now      a population of one whose life is not over
    depth    turns, at least 1, through which every outcome of every proposal is followed; with
             all slates proposed and as many turns as the life has left, this is the optimum
    rollout  turns for which every leaf lives on
    """
    view = look(world, now)
    slates, _, values = _options(world, view, now, depth, rollout, propose)
    best = int(values.argmax())
    return slates[best], float(values[best])


def look(world: World, now: Population) -> View:
    """What to look at from here, for a population of one."""
    fit = allowed(world, now)
    rested = replace(
        now,
        topic_utility=np.zeros_like(now.topic_utility),
        recent=np.full_like(now.recent, NOTHING),
    )
    kept = []
    for state in (now, rested):
        utility, reward = appraise(world, state)
        worth = np.where(fit, exact.exp(utility) * reward, -1.0)
        kept.append(np.argsort(-worth, kind="stable")[:SHORTLIST])
        if state is now:
            size = world.slate_size
            usual = best_slate(np.where(fit, utility, -np.inf), reward, world.nothing, size)[1]
    items = np.unique(np.concatenate(kept))
    items = items[fit[items]]
    place = np.full(len(world.catalog), NOTHING)
    place[items] = np.arange(len(items))
    share = world.topic_share[items]
    return View(items, world.traits[items], place, share, usual)


def _options(
    world: World, view: View, now: Population, depth: int, rollout: int, propose: Propose
) -> tuple[list[tuple[int, ...]], Ints, Floats]:
    """Slates proposed in the states of `now`, the state of each, and what each comes to."""
    utility, reward = _survey(world, view, now)
    slates: list[tuple[int, ...]] = []
    manners, states = [], []
    option, chosen, chance, earned = [], [], [], []
    for state in range(len(now)):
        for slate, manner in propose(
            world, view, utility[state], reward[state], now.satiation[state]
        ):
            at = view.place[list(slate)]
            weight = exact.exp(np.append(utility[state, at] + position(len(at)), world.nothing))
            option += [len(slates)] * len(weight)
            chosen += [*slate, NOTHING]
            chance += (weight / sum(weight.tolist())).tolist()
            earned += [*reward[state, at].tolist(), 0.0]
            slates.append(slate)
            manners.append(manner)
            states.append(state)
    index = np.array(option)
    response = Response(np.array(chosen, dtype=np.int64), np.array(earned))
    shown = _padded(world, slates)[index]
    before = rows(now, np.array(states)[index])
    later = foresee(world, before, shown, response)
    value = response.reward + _beyond(world, view, before, later, response)
    goes_on = np.flatnonzero(_goes_on(world, before, later))
    if len(goes_on) and depth > 1:
        ahead = rows(later, goes_on)
        _, whose, further = _options(world, view, ahead, depth - 1, rollout, propose)
        best = np.full(len(ahead), -np.inf)
        np.maximum.at(best, whose, further)
        value[goes_on] += best
    elif len(goes_on) and rollout:
        following = [manners[k] for k in index[goes_on]]
        value[goes_on] += _rollout(world, view, rows(later, goes_on), following, rollout)
    totals = np.zeros(len(slates))
    np.add.at(totals, index, np.array(chance) * value)
    return slates, np.array(states), totals


def _rollout(
    world: World, view: View, now: Population, manners: list[Manner], turns: int
) -> Floats:
    """(B) expected reward over some turns of users who are shown slates in their `manners` (B)."""
    total, alive = np.zeros(len(now)), np.arange(len(now))
    for _ in range(turns):
        utility, reward = _survey(world, view, now)
        slates, gain = [], np.zeros(len(now))
        chosen, earned = np.full(len(now), NOTHING), np.zeros(len(now))
        for k, row in enumerate(alive):
            slate = _optimum(world, view, utility[k], reward[k], now.satiation[k], manners[row])
            at = view.place[list(slate)]
            placed = utility[k, at] + position(len(at))
            gain[k] = expected_reward(placed, reward[k, at], world.nothing)
            first = int(placed.argmax()) if len(at) else 0
            if len(at) and placed[first] >= world.nothing:
                chosen[k], earned[k] = slate[first], reward[k, at[first]]
            slates.append(slate)
        response = Response(chosen, earned)
        later = foresee(world, now, _padded(world, slates), response)
        total[alive] += gain + _beyond(world, view, now, later, response)
        goes_on = np.flatnonzero(_goes_on(world, now, later))
        if not len(goes_on):
            break
        alive, now = alive[goes_on], rows(later, goes_on)
    return total


def _optimum(
    world: World,
    view: View,
    utility: Floats,
    reward: Floats,
    satiation: Floats,
    manner: Manner,
) -> tuple[int, ...]:
    wanted = reward + manner.bonus
    if satiation.size:
        wanted = wanted - manner.price * (view.share * satiation).sum(axis=1)
    slate, _ = best_slate(utility, wanted, world.nothing, world.slate_size)
    return tuple(view.items[slate].tolist())


def _survey(world: World, view: View, now: Population) -> tuple[Floats, Floats]:
    """Utility without position and expected reward, (B, n') each."""
    liking = np.empty((len(now), len(view.items)))
    recent = np.where(now.recent == NOTHING, NOTHING, view.place[now.recent])
    for k in range(len(now)):
        appraise_rows(
            world.beta,
            view.traits,
            now.interests[k],
            now.weights[k],
            now.topic_utility[k],
            recent[k],
            liking[k],
        )
    reward = now.scale[:, None] * expected_enjoyment(liking, world.hidden.quality[view.items])
    return liking + world.hidden.appeal[view.items], reward


def _padded(world: World, slates: list[tuple[int, ...]]) -> Ints:
    shown = np.full((len(slates), world.slate_size), NOTHING, dtype=np.int64)
    for row, slate in zip(shown, slates, strict=True):
        row[: len(slate)] = slate
    return shown


def foresee(world: World, now: Population, slates: Ints, response: Response) -> Population:
    """One turn later, as far as that can be known: `advance` with every luck at its mean."""
    later = advance(foreseeable(world), now, slates, response)
    scenario = world.scenario
    if scenario.interest_evolution is not None:
        share = world.topic_share[np.maximum(response.chosen, 0)]
        share = share * (response.chosen != NOTHING)[:, None]
        upward = (share * (now.leaning + 1.0)).sum(axis=1, keepdims=True) / 2.0
        params, none = scenario.interest_evolution, np.zeros(len(now))
        up = update_interests(params, now.leaning, share, none)
        down = update_interests(params, now.leaning, share, none + 1.0)
        later = with_mood(world, replace(later, leaning=upward * up + (1.0 - upward) * down))
    if scenario.transient is not None:
        gift, _ = transient_plan(
            scenario.transient, now.seed, now.user, now.session, world.num_users
        )
        same = (gift & (later.session == now.session))[:, None, None]
        later = replace(later, interests=np.where(same, now.interests, later.interests))
    return later


@lru_cache(maxsize=8)
def foreseeable(world: World) -> World:
    """The world in which whatever cannot be known ahead stands at its mean, or does not happen."""
    scenario = replace(world.scenario, shift=None, transient=None, retention=None)
    if scenario.drift is not None:
        scenario = replace(scenario, drift=replace(scenario.drift, dispersion=0.0))
    if scenario.long_term_satisfaction is not None:
        calm = replace(scenario.long_term_satisfaction, innovation=0.0)
        scenario = replace(scenario, long_term_satisfaction=calm)
    return replace(world, scenario=scenario)


def _goes_on(world: World, now: Population, later: Population) -> NDArray[np.bool_]:
    """(B) where the plan can follow: not beyond a life's end, nor an absence of unknown length."""
    if world.scenario.retention is None:
        return ~later.over
    same: NDArray[np.bool_] = later.session == now.session
    return same


def _beyond(
    world: World, view: View, now: Population, later: Population, response: Response
) -> Floats:
    """(B) what the sessions are worth that the plan does not follow; 0 but at a session's end."""
    retention = world.scenario.retention
    if retention is None:
        return np.zeros(len(now))
    mean = (now.earned + response.reward) / (now.turn + 1)
    hazard = return_hazard(retention, now.seed, now.user, mean, later.trust)
    ended = (later.session != now.session) | later.over
    sessions = expected_sessions(retention, hazard, retention.horizon_days - now.day)
    left = world.scenario.sessions - 1 - now.session
    worth: Floats = np.minimum(sessions, left) * world.scenario.turns * view.usual
    return np.where(ended, worth, 0.0)


def expected_sessions(params: Retention, hazard: Floats, days: Ints) -> Floats:
    """(B) sessions to be expected in the `days` (B) after one, if the hazard (B) stays as it is.

    E(D) = Σ_{k=1}^{min(churn_days, D−1)} h (1 − h)^{k−1} (1 + E(D − k)).
    """
    expected = np.zeros((int(days.max(initial=0)) + 1, len(hazard)))
    for span in range(1, len(expected)):
        chance = hazard
        for k in range(1, min(params.churn_days, span - 1) + 1):
            expected[span] += chance * (1.0 + expected[span - k])
            chance = chance * (1.0 - hazard)
    return expected[np.maximum(days, 0), np.arange(len(hazard))]
