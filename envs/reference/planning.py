"""Planning on the ground truth: slates by expected reward over several turns.

A plan is an expectimax over proposed slates and over the user's responses, followed by rollouts
(Bertsekas, Tsitsiklis & Wu 1997): after each leaf, slates follow the criterion that proposed its
first slate. States move by the simulator's own `advance`, so that satiation, influence, patience
and trust are included.

A plan uses the present state and expectations of random effects, see `expectation`. In rollouts
users make their likeliest choice; rewards are expectations throughout. Where users may stay away, a
plan ends with the session and adds the value of the expected further sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ...records import NOTHING
from ..numerics import elementary
from ..numerics.arrays import Floats, Ints, Units
from ..numerics.compiled import compiled
from ..numerics.elementary import exp_of
from ..simulator.choice import expected_enjoyment, fill_liking, position
from ..simulator.population import Population, take_rows
from ..simulator.turn import Response
from ..simulator.world import World
from .expectation import expected_further_sessions, expected_next, is_predictable
from .optimal_slate import allowed, appraise, best_slate, fill_best_slate

SHORTLIST = 64
"""Items of a plan: this many that are best now, and this many that are best without satiation."""

Slate = tuple[int, ...]


@dataclass(frozen=True)
class SlateCriterion:
    """Choose the best slate for modified rewards y_j + bonus − price · ⟨share_j, satiation⟩.

    price  cost of choosing a topic, per unit of its satiation
    bonus  value of any choice; negative values let the user rest
    """

    price: float = 0.0
    bonus: float = 0.0


CRITERIA = (
    SlateCriterion(),
    SlateCriterion(price=0.1),
    SlateCriterion(bonus=0.5),
    SlateCriterion(price=0.1, bonus=0.5),
    SlateCriterion(bonus=-0.2),
)

Proposal = tuple[Slate, SlateCriterion]
"""A slate, and the criterion of the slates after it in rollouts."""


@dataclass(frozen=True, eq=False)
class PlanItems:
    """The n' items that a plan considers.

    items            (n') item indices
    traits           (n', W) their traits
    index            (n) row among `items`, NOTHING for other items
    share            (n', T) topic shares
    baseline_reward  optimal reward of a turn at the root, which stands for turns beyond the plan
    """

    items: Ints
    traits: Units
    index: Ints
    share: Floats
    baseline_reward: float


Propose = Callable[[World, PlanItems, Floats, Floats, Floats], Iterable[Proposal]]
"""From a world, its plan items, and the utility (n'), reward (n') and satiation (T or 0) of one
state: the slates to consider, each once."""


def propose_slates(
    world: World, plan_items: PlanItems, utility: Floats, reward: Floats, satiation: Floats
) -> list[Proposal]:
    """The myopic optimum, the optima of the other criteria, parts of the myopic one, no items."""
    proposals: dict[Slate, SlateCriterion] = {}
    for criterion in CRITERIA:
        modified = _modified_reward(plan_items, reward, satiation, criterion.price, criterion.bonus)
        best, _ = best_slate(utility, modified, world.outside_utility, world.slate_size)
        proposals.setdefault(tuple(plan_items.items[best].tolist()), criterion)
    myopic = next(iter(proposals))
    for part in (myopic[:1], myopic[1:], ()):
        proposals.setdefault(part, SlateCriterion())
    return list(proposals.items())


def plan(
    world: World,
    now: Population,
    depth: int = 1,
    rollout: int = 0,
    propose: Propose = propose_slates,
) -> tuple[Slate, float]:
    """The slate with the highest expected reward over `depth` + `rollout` turns, and that reward.

    now      a population of one whose episode is not over
    depth    turns, at least 1, through which every outcome of every proposal is followed; with
             all slates of all items proposed, as many turns as the episode has left, and choice
             as the only random effect, the plan is optimal
    rollout  turns simulated after each leaf
    """
    plan_items = shortlist(world, now)
    slates, _, values = _evaluate(world, plan_items, now, depth, rollout, propose)
    best = int(values.argmax())
    return slates[best], float(values[best])


def shortlist(world: World, now: Population) -> PlanItems:
    """The items to consider for a population of one."""
    suitable = allowed(world, now)
    rested = replace(
        now,
        topic_utility=np.zeros_like(now.topic_utility),
        recent=np.full_like(now.recent, NOTHING),
    )
    utility, reward = appraise(world, now)
    open_utility = np.where(suitable, utility, -np.inf)
    baseline = best_slate(open_utility, reward, world.outside_utility, world.slate_size)[1]
    kept = []
    for v, y in ((utility, reward), appraise(world, rested)):
        value = np.where(suitable, elementary.exp(v) * y, -1.0)
        kept.append(np.argsort(-value, kind="stable")[:SHORTLIST])
    items = np.unique(np.concatenate(kept))
    items = items[suitable[items]]
    index = np.full(len(world.catalog), NOTHING)
    index[items] = np.arange(len(items))
    return PlanItems(items, world.traits[items], index, world.topic_share[items], baseline)


class _Outcomes(NamedTuple):
    """All outcomes (o) of all proposed slates (p) in all states (B).

    slates    the proposed slates; criteria: of each; states: (p) row of the state of each
    proposal  (o) row among the slates
    chance    (o) probability given the slate
    response  item or NOTHING, and its reward (o)
    """

    slates: list[Slate]
    criteria: list[SlateCriterion]
    states: Ints
    proposal: Ints
    chance: Floats
    response: Response


def _outcomes(world: World, plan_items: PlanItems, now: Population, propose: Propose) -> _Outcomes:
    utility, reward = _appraise_states(world, plan_items, now)
    slates: list[Slate] = []
    criteria, states = [], []
    proposal, chosen, chance, earned = [], [], [], []
    for state in range(len(now)):
        for slate, criterion in propose(
            world, plan_items, utility[state], reward[state], now.satiation[state]
        ):
            shown = plan_items.index[list(slate)]
            placed = utility[state, shown] + position(len(shown))
            weight = elementary.exp(np.append(placed, world.outside_utility))
            proposal += [len(slates)] * len(weight)
            chosen += [*slate, NOTHING]
            chance += (weight / sum(weight.tolist())).tolist()
            earned += [*reward[state, shown].tolist(), 0.0]
            slates.append(slate)
            criteria.append(criterion)
            states.append(state)
    response = Response(np.array(chosen, dtype=np.int64), np.array(earned))
    return _Outcomes(
        slates, criteria, np.array(states), np.array(proposal), np.array(chance), response
    )


def _evaluate(
    world: World,
    plan_items: PlanItems,
    now: Population,
    depth: int,
    rollout: int,
    propose: Propose,
) -> tuple[list[Slate], Ints, Floats]:
    """Slates proposed in the states of `now`, the state of each, and its expected reward."""
    outcomes = _outcomes(world, plan_items, now, propose)
    proposal, response = outcomes.proposal, outcomes.response
    shown = _padded(world, outcomes.slates)[proposal]
    before = take_rows(now, outcomes.states[proposal])
    later = expected_next(world, before, shown, response)
    value = response.reward + _further_value(world, plan_items, before, later, response)
    running = np.flatnonzero(is_predictable(world, before, later))
    if len(running) and depth > 1:
        ahead = take_rows(later, running)
        _, state, further = _evaluate(world, plan_items, ahead, depth - 1, rollout, propose)
        best = np.full(len(ahead), -np.inf)
        np.maximum.at(best, state, further)
        value[running] += best
    elif len(running) and rollout:
        criteria = [outcomes.criteria[k] for k in proposal[running]]
        ahead = take_rows(later, running)
        value[running] += _rollout(world, plan_items, ahead, criteria, rollout)
    totals = np.zeros(len(outcomes.slates))
    np.add.at(totals, proposal, outcomes.chance * value)
    return outcomes.slates, outcomes.states, totals


def _rollout(
    world: World,
    plan_items: PlanItems,
    now: Population,
    criteria: list[SlateCriterion],
    turns: int,
) -> Floats:
    """(B) expected reward over some turns with slates chosen by the users' `criteria` (B)."""
    total, running = np.zeros(len(now)), np.arange(len(now))
    position_utility = position(world.slate_size)
    price, bonus = (np.array([getattr(c, part) for c in criteria]) for part in ("price", "bonus"))
    for _ in range(turns):
        utility, reward = _appraise_states(world, plan_items, now)
        modified = _modified_reward(
            plan_items, reward, now.satiation, price[running, None], bonus[running, None]
        )
        likeliest = _Likeliest(
            slates=np.full((len(now), world.slate_size), NOTHING),
            chosen=np.full(len(now), NOTHING),
            reward=np.zeros(len(now)),
            expected=np.empty(len(now)),
        )
        _fill_likeliest(
            utility, reward, modified, world.outside_utility, position_utility, likeliest
        )
        shown, chosen = (
            np.where(rows == NOTHING, NOTHING, plan_items.items[rows])
            for rows in (likeliest.slates, likeliest.chosen)
        )
        response = Response(chosen, likeliest.reward)
        later = expected_next(world, now, shown, response)
        gain = likeliest.expected + _further_value(world, plan_items, now, later, response)
        total[running] += gain
        kept = np.flatnonzero(is_predictable(world, now, later))
        if not len(kept):
            break
        running, now = running[kept], take_rows(later, kept)
    return total


class _Likeliest(NamedTuple):
    """The best slate of every state (B) and its likeliest response.

    slates    (B, K), filled up to each slate's length
    chosen    (B) the likeliest item, unchanged where that is nothing; reward: (B) of that item
    expected  (B) expected reward of the slate
    """

    slates: Ints
    chosen: Ints
    reward: Floats
    expected: Floats


@compiled
def _fill_likeliest(
    utility: Floats,
    reward: Floats,
    modified: Floats,
    outside_utility: float,
    position_utility: Floats,
    out: _Likeliest,
) -> None:
    """Write the best slate of every state (B) and its likeliest response into `out`.

    utility, reward   (B, n') of all items
    modified          (B, n') rewards that the slates maximize
    position_utility  (K) utility added by position
    """
    discount, weight = np.empty(position_utility.size), np.empty(utility.shape[1])
    outside = exp_of(outside_utility)
    for k in range(position_utility.size):
        discount[k] = exp_of(position_utility[k])
    for state in range(len(utility)):
        for item in range(weight.size):
            weight[item] = exp_of(utility[state, item])
        count, _ = fill_best_slate(weight, modified[state], outside, discount, out.slates[state])
        above, below, highest = 0.0, outside, outside_utility
        for k in range(count):
            item = out.slates[state, k]
            placed = utility[state, item] + position_utility[k]
            mass = exp_of(placed)
            above += mass * reward[state, item]
            below += mass
            if placed > highest or (placed == outside_utility and out.chosen[state] == NOTHING):
                highest = placed
                out.chosen[state] = item
                out.reward[state] = reward[state, item]
        out.expected[state] = above / below


def _modified_reward(
    plan_items: PlanItems,
    reward: Floats,
    satiation: Floats,
    price: float | Floats,
    bonus: float | Floats,
) -> Floats:
    """(…, n') rewards that a `SlateCriterion` maximizes: reward (…, n'), satiation (…, T or 0)."""
    if not satiation.size:
        return reward + bonus
    satiated: Floats = (plan_items.share * satiation[..., None, :]).sum(axis=-1)
    modified: Floats = reward + bonus - price * satiated
    return modified


def _appraise_states(world: World, plan_items: PlanItems, now: Population) -> tuple[Floats, Floats]:
    """Utility without position and expected reward, (B, n') each."""
    items = plan_items.items
    liking = np.empty((len(now), len(items)))
    recent = np.where(now.recent == NOTHING, NOTHING, plan_items.index[now.recent])
    for k in range(len(now)):
        fill_liking(
            world.beta,
            plan_items.traits,
            now.interests[k],
            now.weights[k],
            now.topic_utility[k],
            recent[k],
            liking[k],
        )
    reward = now.scale[:, None] * expected_enjoyment(liking, world.hidden.quality[items])
    return liking + world.hidden.appeal[items], reward


def _padded(world: World, slates: list[Slate]) -> Ints:
    shown = np.full((len(slates), world.slate_size), NOTHING, dtype=np.int64)
    for row, slate in zip(shown, slates, strict=True):
        row[: len(slate)] = slate
    return shown


def _further_value(
    world: World, plan_items: PlanItems, now: Population, later: Population, response: Response
) -> Floats:
    """(B) value of the expected sessions that the plan does not follow."""
    sessions = expected_further_sessions(world, now, later, response)
    return sessions * (world.scenario.turns * plan_items.baseline_reward)
