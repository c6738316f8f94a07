"""Looking ahead on the true state: slates for what they lead to, not only for what they earn.

A plan is an expectimax over proposed slates and over what the user does with them, followed by
rollouts (Bertsekas, Tsitsiklis & Wu 1997): each leaf lives on for some turns under the manner of
choosing that its first slate came from. States move by the simulator's own `advance`, so that
satiation, influence, patience and trust are looked through as they are.

A plan knows the state and nothing of the user's luck to come, see `foresight`. In rollouts users
do what is likeliest; rewards are expected ones throughout. Where users may stay away, a plan ends
with the session, and adds what the sessions are worth that are then to be expected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

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
from .expectation import foresee, goes_on, sessions_beyond
from .optimal_slate import allowed, appraise, best_order, best_slate

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
             all slates of all items proposed, as many turns as the life has left, and choice as
             the only luck there is, this is the optimum
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
        worth = np.where(fit, elementary.exp(utility) * reward, -1.0)
        kept.append(np.argsort(-worth, kind="stable")[:SHORTLIST])
        if state is now:
            size = world.slate_size
            usual = best_slate(
                np.where(fit, utility, -np.inf), reward, world.outside_utility, size
            )[1]
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
            weight = elementary.exp(
                np.append(utility[state, at] + position(len(at)), world.outside_utility)
            )
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
    before = take_rows(now, np.array(states)[index])
    later = foresee(world, before, shown, response)
    value = response.reward + _beyond(world, view, before, later, response)
    alive = np.flatnonzero(goes_on(world, before, later))
    if len(alive) and depth > 1:
        ahead = take_rows(later, alive)
        _, whose, further = _options(world, view, ahead, depth - 1, rollout, propose)
        best = np.full(len(ahead), -np.inf)
        np.maximum.at(best, whose, further)
        value[alive] += best
    elif len(alive) and rollout:
        following = [manners[k] for k in index[alive]]
        value[alive] += _rollout(world, view, take_rows(later, alive), following, rollout)
    totals = np.zeros(len(slates))
    np.add.at(totals, index, np.array(chance) * value)
    return slates, np.array(states), totals


def _rollout(
    world: World, view: View, now: Population, manners: list[Manner], turns: int
) -> Floats:
    """(B) expected reward over some turns of users who are shown slates in their `manners` (B)."""
    total, alive = np.zeros(len(now)), np.arange(len(now))
    lean = position(world.slate_size)
    price, bonus = (np.array([getattr(m, part) for m in manners]) for part in ("price", "bonus"))
    for _ in range(turns):
        utility, reward = _survey(world, view, now)
        wanted = _wanted(view, reward, now.satiation, price[alive, None], bonus[alive, None])
        slates = np.full((len(now), world.slate_size), NOTHING)
        chosen, earned = np.full(len(now), NOTHING), np.zeros(len(now))
        gain = np.empty(len(now))
        _likeliest(
            utility, reward, wanted, world.outside_utility, lean, slates, chosen, earned, gain
        )
        shown, taken = (np.where(n == NOTHING, NOTHING, view.items[n]) for n in (slates, chosen))
        response = Response(taken, earned)
        later = foresee(world, now, shown, response)
        total[alive] += gain + _beyond(world, view, now, later, response)
        on = np.flatnonzero(goes_on(world, now, later))
        if not len(on):
            break
        alive, now = alive[on], take_rows(later, on)
    return total


@compiled
def _likeliest(
    utility: Floats,
    reward: Floats,
    wanted: Floats,
    nothing: float,
    lean: Floats,
    slates: Ints,
    chosen: Ints,
    earned: Floats,
    gain: Floats,
) -> None:
    """The best slate of every state (B) and what is likeliest to come of it.

    utility, reward  (B, n) of all items
    wanted           (B, n) the rewards that slates are the best for
    lean             (K) utility that a position adds
    slates           (B, K), filled up to each slate's length
    chosen, earned   (B) the likeliest item, left as they are where that is nothing; its reward
    gain             (B) expected reward
    """
    discount, weight = np.empty(lean.size), np.empty(utility.shape[1])
    outside = exp_of(nothing)
    for k in range(lean.size):
        discount[k] = exp_of(lean[k])
    for state in range(len(utility)):
        for item in range(weight.size):
            weight[item] = exp_of(utility[state, item])
        count, _ = best_order(weight, wanted[state], outside, discount, slates[state])
        above, below, first = 0.0, outside, nothing
        for k in range(count):
            item = slates[state, k]
            placed = utility[state, item] + lean[k]
            mass = exp_of(placed)
            above += mass * reward[state, item]
            below += mass
            if placed > first or (placed == nothing and chosen[state] == NOTHING):
                first, chosen[state], earned[state] = placed, item, reward[state, item]
        gain[state] = above / below


def _optimum(
    world: World,
    view: View,
    utility: Floats,
    reward: Floats,
    satiation: Floats,
    manner: Manner,
) -> tuple[int, ...]:
    wanted = _wanted(view, reward, satiation, manner.price, manner.bonus)
    slate, _ = best_slate(utility, wanted, world.outside_utility, world.slate_size)
    return tuple(view.items[slate].tolist())


def _wanted(
    view: View, reward: Floats, satiation: Floats, price: float | Floats, bonus: float | Floats
) -> Floats:
    """(…, n') the rewards that a `Manner` chooses by: reward (…, n'), satiation (…, T or 0)."""
    if not satiation.size:
        return reward + bonus
    tired: Floats = (view.share * satiation[..., None, :]).sum(axis=-1)
    wanted: Floats = reward + bonus - price * tired
    return wanted


def _survey(world: World, view: View, now: Population) -> tuple[Floats, Floats]:
    """Utility without position and expected reward, (B, n') each."""
    liking = np.empty((len(now), len(view.items)))
    recent = np.where(now.recent == NOTHING, NOTHING, view.place[now.recent])
    for k in range(len(now)):
        fill_liking(
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


def _beyond(
    world: World, view: View, now: Population, later: Population, response: Response
) -> Floats:
    """(B) what the sessions are worth that the plan does not follow."""
    sessions = sessions_beyond(world, now, later, response)
    return sessions * (world.scenario.turns * view.usual)
