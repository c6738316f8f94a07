"""Every rule keeps the target's law: all draws and coins are enumerated, nothing is sampled.

A node of a decoder's tree is played as a program that asks `Chance` for its random choices, and
`law_of` plays it once for every sequence of answers. So the very code under test draws its
coins from the enumeration, and a rule is tested by standing in the table `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasteshift.decoders.sampling import Stream, draw
from tasteshift.decoders.verification import (
    NONE,
    coupled,
    naive,
    point_mass,
    recursive_rejection,
    residual,
    without,
)

Law = NDArray[np.float64]


class Chance:
    """One play: follows a script of choices, then always takes the first; notes what it cost."""

    def __init__(self, script):
        self.script = list(script)
        self.taken: list[int] = []
        self.open: list[int] = []
        self.probability = 1.0

    def draws(self, law) -> int:
        """A token of the law."""
        support = np.flatnonzero(law)
        place = len(self.taken)
        choice = self.script[place] if place < len(self.script) else 0
        self.taken.append(choice)
        self.open.append(len(support))
        token = int(support[choice])
        self.probability *= float(law[token])
        return token

    def accepts(self, chance: float) -> bool:
        """A coin."""
        assert 0 <= chance <= 1
        return self.draws(np.array([1 - chance, chance])) == 1


def law_of(program, *arguments) -> dict:
    """Outcome -> probability of a program, over every sequence of its random choices."""
    outcomes: dict = {}
    script: list[int] | None = []
    while script is not None:
        chance = Chance(script)
        outcome = program(chance, *arguments)
        outcomes[outcome] = outcomes.get(outcome, 0.0) + chance.probability
        script = None
        for place in reversed(range(len(chance.taken))):
            if chance.taken[place] + 1 < chance.open[place]:
                script = [*chance.taken[:place], chance.taken[place] + 1]
                break
    return outcomes


def drawn(chance: Chance, q: Law, k: int, replacement: bool = False) -> list[int]:
    """min(k, support) candidates from q in drawing order."""
    found: list[int] = []
    while len(found) < k and q.any():
        found.append(chance.draws(q))
        q = q if replacement else without(q, found[-1])
    return found


def best(q: Law, k: int) -> list[int]:
    """The k likeliest tokens of q: a candidate set without any draw."""
    return np.argsort(-q, kind="stable")[:k].tolist()


def without_replacement(chance, p, q, k, rule=recursive_rejection):
    """Node of mcsd."""
    candidates = drawn(chance, q, k)
    return candidates, rule(p, q, candidates, chance.accepts)


def with_replacement(chance, p, q, k, rule=recursive_rejection):
    """Node of mcsd, siblings drawn independently."""
    candidates = drawn(chance, q, k, replacement=True)
    return candidates, rule(p, q, candidates, chance.accepts, replacement=True)


def naively(chance, p, q, k, rule=naive):
    """Candidates from anywhere: the most, the least likely of q, and a draw."""
    candidates = [*best(q, k)[:-1], *best(-q, 1), *drawn(chance, q, 1)]
    return candidates, rule(p, candidates, chance.draws)


def pointwise(chance, p, q, k, rule=point_mass):
    """A set that nobody drew, with a repeated token."""
    candidates = [*best(q, k), *best(q, 1)]
    return candidates, rule(p, candidates, chance.accepts)


RULES = {
    "recursive, without replacement": without_replacement,
    "recursive, with replacement": with_replacement,
    "naive": naively,
    "point mass": pointwise,
}
"""Name -> (chance, p, q, k) -> (candidates, the rule's verdict)."""


def node(chance: Chance, play, p: Law, q: Law, k: int, **rule) -> int:
    """The token that a node writes."""
    candidates, (index, left) = play(chance, p, q, k, **rule)
    return chance.draws(left) if index == NONE else candidates[index]


def distance(play, p: Law, q: Law, k: int, **rule) -> float:
    """Total variation between what a node writes and p."""
    law = law_of(lambda chance: node(chance, play, p, q, k, **rule))
    return sum(abs(law.get(token, 0.0) - p[token]) for token in range(len(p))) / 2


@st.composite
def laws(draw_: st.DrawFn, count: int = 2) -> list[Law]:
    """Laws over 2 to 5 tokens, often with tokens of no mass; point masses; equal laws."""
    size = draw_(st.integers(2, 5))
    mass = st.one_of(st.just(0.0), st.floats(1e-3, 1.0))
    rows: list[Law] = []
    for _ in range(count):
        kind = draw_(st.sampled_from(["any", "any", "any", "point", "equal"]))
        row = np.array(draw_(st.lists(mass, min_size=size, max_size=size)))
        if kind == "point" or not row.any():
            row = np.eye(size)[draw_(st.integers(0, size - 1))]
        rows.append(rows[0] if kind == "equal" and rows else row / row.sum())
    return rows


@pytest.mark.parametrize("name", RULES)
@settings(deadline=None, max_examples=100)
@given(tables=laws(), k=st.integers(1, 4))
def test_output_has_the_targets_law(name: str, tables: list[Law], k: int) -> None:
    p, q = tables
    assert distance(RULES[name], p, q, k) < 1e-12


P = np.array([0.5, 0.3, 0.15, 0.05])
EDGES = {
    "equal laws": (P, P),
    "support of q smaller than k": (P, np.array([0.0, 0.4, 0.6, 0.0])),
    "q on one token": (P, np.eye(4)[2]),
    "q beside p": (np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.0, 0.0, 0.3, 0.7])),
    "p on one token": (np.eye(4)[3], P),
    "both on one token": (np.eye(4)[1], np.eye(4)[1]),
    "both on other tokens": (np.eye(4)[1], np.eye(4)[0]),
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", RULES)
def test_edges(name: str, edge: str) -> None:
    p, q = EDGES[edge]
    for k in (1, 2, 4):
        assert distance(RULES[name], p, q, k) < 1e-12


class Times:
    """Noise that hands out one given table of exponential times."""

    def __init__(self, times: Law) -> None:
        self.times = times

    def standard_exponential(self, shape: tuple[int, ...]) -> Law:
        """The table."""
        assert shape == self.times.shape
        return self.times


@settings(deadline=None)
@given(
    laws(1),
    st.lists(st.floats(1e-6, 20.0), min_size=5, max_size=5),
    st.lists(st.integers(0, 4), max_size=6),
)
def test_coupled_writes_the_token_of_the_race(
    tables: list[Law], times: list[float], proposed: list[int]
) -> None:
    (p,) = tables
    race = [(mass / time, -token) for token, (mass, time) in enumerate(zip(p, times, strict=False))]
    winner = -max(race)[1]
    candidates = [x for x in proposed if x < len(p)]
    noise = Times(np.array(times[: len(p)]))
    index, left = coupled(p, candidates, noise)  # type: ignore[arg-type]
    if winner in candidates:
        assert index == candidates.index(winner)
        assert left.tolist() == p.tolist()
    else:
        assert index == NONE
        assert left.tolist() == np.eye(len(p))[winner].tolist()


@given(laws(1), st.integers(0, 99), st.integers(0, 50), st.sets(st.integers(0, 4)))
def test_coupled_writes_what_a_plain_draw_writes(
    tables: list[Law], seed: int, place: int, proposed: set[int]
) -> None:
    (p,) = tables
    stream = Stream(seed, [1, 2])
    candidates = sorted(x for x in proposed if x < len(p))
    index, left = coupled(p, candidates, stream.at(place))
    token = int(left.argmax()) if index == NONE else candidates[index]
    assert token == draw(p, stream.at(place))


def kept(indices, verdict):
    """Translate a verdict on some of the candidates back."""
    index, left = verdict
    return (index if index == NONE else indices[index]), left


def drops_small(p, q, candidates, accepts, **how):
    """Mutant: forgets a drawn candidate because its q is small."""
    some = [i for i, x in enumerate(candidates) if q[x] > 0.25]
    return kept(some, recursive_rejection(p, q, [candidates[i] for i in some], accepts, **how))


def sorts_siblings(p, q, candidates, accepts, **how):
    """Mutant: tests siblings by their q instead of as they were drawn."""
    order = sorted(range(len(candidates)), key=lambda i: -q[candidates[i]])
    return kept(order, recursive_rejection(p, q, [candidates[i] for i in order], accepts, **how))


def skips_duplicates(p, q, candidates, accepts, **how):
    """Mutant: does not test again what was drawn before."""
    some = [i for i, x in enumerate(candidates) if x not in candidates[:i]]
    return kept(some, recursive_rejection(p, q, [candidates[i] for i in some], accepts, **how))


def no_residual(p, q, candidates, accepts, **how):
    """Mutant: after rejections it writes from the target's law."""
    index, left = recursive_rejection(p, q, candidates, accepts, **how)
    return index, (p if index == NONE else left)


def stale_residual(p, q, candidates, accepts, **how):
    """Mutant: every sibling is tested against the first one's laws."""
    for index, x in enumerate(candidates):
        if accepts(min(1.0, p[x] / q[x]) if q[x] else 0.0):
            return index, p
    return NONE, residual(p, q)


def not_renormalised(p, candidates, accepts):
    """Mutant: a rejected point mass is struck out, and its share is given to nobody."""
    for index, x in enumerate(candidates):
        if accepts(p[x]):
            return index, p
        p = np.where(np.arange(len(p)) == x, 0.0, p)
    return NONE, p / p.sum()


def still_in_p(p, candidates, accepts):
    """Mutant: a rejected point mass keeps its place in p."""
    for index, x in enumerate(candidates):
        if accepts(p[x]):
            return index, p
    return NONE, p


def likeliest_of_the_accepted(p, candidates, accepts):
    """Mutant: flips every coin first, then takes the likeliest candidate that came up."""
    up = [i for i, x in enumerate(candidates) if accepts(p[x])]
    if up:
        return max(up, key=lambda i: p[candidates[i]]), p
    return point_mass(p, candidates, lambda _: False)


def draws_again(p, candidates, draws):
    """Mutant of the naive rule: draws again where no candidate was hit."""
    index, left = naive(p, candidates, draws)
    return (index, left) if index != NONE else naive(p, candidates, draws)


MUTANTS = [
    (without_replacement, drops_small, 0.01),
    (with_replacement, drops_small, 0.01),
    (without_replacement, sorts_siblings, 0.01),
    (with_replacement, skips_duplicates, 0.005),
    (without_replacement, no_residual, 0.01),
    (with_replacement, no_residual, 0.01),
    (without_replacement, stale_residual, 0.01),
    (naively, draws_again, 0.005),
    (pointwise, not_renormalised, 0.01),
    (pointwise, still_in_p, 0.01),
    (pointwise, likeliest_of_the_accepted, 0.01),
]


@pytest.mark.parametrize(
    ("play", "mutant", "least"), MUTANTS, ids=lambda x: getattr(x, "__name__", str(x))
)
def test_mutants_are_found_out(play: Callable[..., object], mutant: object, least: float) -> None:
    p, q = P, np.array([0.2, 0.15, 0.6, 0.05])
    assert distance(play, p, q, 2) < 1e-12
    assert max(distance(play, p, q, k, rule=mutant) for k in (2, 3)) > least


# Two levels: x is a sibling below a node, y the one token drafted below x. The joint law of
# what is written must be p(x) p(y | x).

P2 = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]])
Q2 = np.array([[0.2, 0.3, 0.5], [0.3, 0.3, 0.4], [0.6, 0.2, 0.2]])
P1, Q1 = np.array([0.4, 0.35, 0.25]), np.array([0.3, 0.5, 0.2])


def fits(chance: Chance, x: int, y: int) -> bool:
    """Whether y, drafted below x, passes its test."""
    return chance.accepts(min(1.0, P2[x, y] / Q2[x, y]))


def two_levels(chance: Chance, siblings, verdict) -> tuple[int, int]:
    """The sibling that stands, and what is written below it."""
    index, left = verdict
    if index == NONE:
        x = chance.draws(left)
        return x, chance.draws(P2[x])
    x, y = siblings[index]
    return x, y if fits(chance, x, y) else chance.draws(residual(P2[x], Q2[x]))


def drafted(chance: Chance, candidates: list[int], hindsight: bool) -> list[tuple[int, int]]:
    """Each sibling with the token drafted below it; in hindsight those that fit come first."""
    siblings = [(x, chance.draws(Q2[x])) for x in candidates]
    return sorted(siblings, key=lambda xy: -P2[xy]) if hindsight else siblings


def sampled(chance: Chance, hindsight: bool) -> tuple[int, int]:
    """Siblings drawn from q."""
    siblings = drafted(chance, drawn(chance, Q1, 2, replacement=True), hindsight)
    xs = [x for x, _ in siblings]
    verdict = recursive_rejection(P1, Q1, xs, chance.accepts, replacement=True)
    return two_levels(chance, siblings, verdict)


def given_ones(chance: Chance, hindsight: bool) -> tuple[int, int]:
    """Siblings that nobody drew."""
    siblings = drafted(chance, [0, 1], hindsight)
    return two_levels(chance, siblings, point_mass(P1, [x for x, _ in siblings], chance.accepts))


def longest_root(chance: Chance, width: int) -> tuple[int, int]:
    """Roots drawn from the target's own law; the one whose drafted token stands wins."""
    roots = drawn(chance, P1, width)
    below = [chance.draws(Q2[x]) for x in roots]
    stands = [fits(chance, x, y) for x, y in zip(roots, below, strict=True)]
    winner = stands.index(True) if any(stands) else 0
    x, y = roots[winner], below[winner]
    return x, y if stands[winner] else chance.draws(residual(P2[x], Q2[x]))


@pytest.mark.parametrize(
    ("program", "argument", "exact"),
    [
        (sampled, False, True),
        (sampled, True, False),
        (given_ones, False, True),
        (given_ones, True, True),
        (longest_root, 1, True),
        (longest_root, 2, False),
        (longest_root, 3, False),
    ],
)
def test_choosing_by_what_was_drawn_below(program, argument, exact: bool) -> None:
    joint = P1[:, None] * P2
    law = law_of(program, argument)
    apart = sum(abs(law.get((x, y), 0.0) - joint[x, y]) for x in range(3) for y in range(3)) / 2
    assert apart < 1e-12 if exact else apart > 0.01


def test_first_candidate_of_an_equal_law_always_stands() -> None:
    p = np.array([0.2, 0.5, 0.3])
    chances: list[float] = []
    for x in range(3):
        recursive_rejection(p, p, [x], lambda chance: bool(chances.append(chance)) or True)
    assert chances == [1.0, 1.0, 1.0]


def test_recursive_rejection_by_hand() -> None:
    """p = (.6, .4), q = (.9, .1): token 0 stands with 2/3, else token 1 is certain."""
    chances: list[float] = []
    index, left = recursive_rejection(
        np.array([0.6, 0.4]), np.array([0.9, 0.1]), [0], lambda c: bool(chances.append(c))
    )
    assert index == NONE
    assert chances == pytest.approx([2 / 3])
    assert left == pytest.approx([0.0, 1.0])


def test_point_mass_by_hand() -> None:
    """p = (.5, .3, .2) with candidates 1, 0, 1: .3, then .5/.7, then nothing is left of 1."""
    chances: list[float] = []
    index, left = point_mass(
        np.array([0.5, 0.3, 0.2]), [1, 0, 1], lambda c: bool(chances.append(c))
    )
    assert index == NONE
    assert chances == pytest.approx([0.3, 5 / 7, 0.0])
    assert left == pytest.approx([0.0, 0.0, 1.0])


def test_greedy_target_takes_its_token_wherever_it_was_drafted() -> None:
    p = np.eye(5)[3]
    q = np.array([0.4, 0.3, 0.1, 0.1, 0.1])
    assert recursive_rejection(p, q, [0, 1, 3, 2], lambda c: c >= 1)[0] == 2
    index, left = recursive_rejection(p, q, [0, 1, 2], lambda c: c >= 1)
    assert index == NONE
    assert left.tolist() == p.tolist()


def test_enumeration_counts_every_branch() -> None:
    """The instrument itself: two throws of a loaded coin, by hand."""
    law = law_of(lambda chance: (chance.accepts(0.25), chance.accepts(0.5)))
    assert law == {
        (False, False): 0.375,
        (False, True): 0.375,
        (True, False): 0.125,
        (True, True): 0.125,
    }
