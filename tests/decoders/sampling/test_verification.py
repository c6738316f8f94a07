"""Every rule keeps the target's law: all draws and coins are enumerated, nothing is sampled.

A node of a decoder's tree is played as a program that asks `Chance` for its random choices, and
`law_of` plays it once for every sequence of answers: the draws of candidates, and a coin for every
chance that the rule under test gives. A rule is tested by first_accepted in the table `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from tasteshift.decoders.sampling import verification
from tasteshift.decoders.sampling.distribution import draw
from tasteshift.decoders.sampling.noise import Stream
from tasteshift.decoders.sampling.verification import NONE, coupled, first_accepted, point_mass

Law = NDArray[np.float64]
Verdict = tuple[list[int], list[float], Law]
"""Candidates in the order in which they are tested, their chances, the law after all of them."""


def recursive_rejection(p: Law, q: Law, candidates: list[int], replacement: bool) -> Verdict:
    """The rule itself, on one node."""
    chances, left = verification.recursive_rejection(
        torch.from_numpy(p), torch.from_numpy(q), torch.tensor(candidates), replacement=replacement
    )
    return candidates, chances.tolist(), left.numpy()


def point_by_point(p: Law, candidates: list[int]) -> Verdict:
    """Likewise."""
    chances, left = point_mass(torch.from_numpy(p), torch.tensor(candidates))
    return candidates, chances.tolist(), left.numpy()


def residual(p: Law, q: Law) -> Law:
    left: Law = verification.residual(torch.from_numpy(p), torch.from_numpy(q)).numpy()
    return left


def without(law: Law, x: int) -> Law:
    rest: Law = verification.without(torch.from_numpy(law), torch.tensor(x)).numpy()
    return rest


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


def flipped(chance: Chance, verdict: Verdict) -> int:
    """The token that a verdict comes to: the first candidate whose coin comes up, or a draw."""
    candidates, chances, left = verdict
    for x, odds in zip(candidates, chances, strict=True):
        if chance.accepts(odds):
            return x
    return chance.draws(left)


def without_replacement(chance, p, q, k, rule=recursive_rejection):
    """Node of mcsd."""
    return flipped(chance, rule(p, q, drawn(chance, q, k), False))


def with_replacement(chance, p, q, k, rule=recursive_rejection):
    """Node of mcsd, siblings drawn independently."""
    return flipped(chance, rule(p, q, drawn(chance, q, k, replacement=True), True))


def first_of(token: int, candidates: list[int]) -> int:
    """The place of the candidate that stands."""
    return int(coupled(torch.tensor(token), torch.tensor(candidates)))


def naively(chance, p, q, k, draws_again=False):
    """Candidates from anywhere: the most, the least likely of q, and a draw."""
    candidates = [*best(q, k)[:-1], *best(-q, 1), *drawn(chance, q, 1)]
    token = chance.draws(p)
    index = first_of(token, candidates)
    if index != NONE:
        return candidates[index]
    return chance.draws(p) if draws_again else token


def pointwise(chance, p, q, k, rule=point_by_point):
    """A set that nobody drew, with a repeated token."""
    return flipped(chance, rule(p, [*best(q, k), *best(q, 1)]))


RULES = {
    "recursive, without replacement": without_replacement,
    "recursive, with replacement": with_replacement,
    "naive": naively,
    "point mass": pointwise,
}
"""Name -> (chance, p, q, k) -> the token that a node writes."""


def distance(play, p: Law, q: Law, k: int, **mutation) -> float:
    """Total variation between what a node writes and p."""
    law = law_of(lambda chance: play(chance, p, q, k, **mutation))
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


@given(laws(1), st.integers(0, 99), st.integers(0, 50), st.lists(st.integers(0, 4), max_size=6))
def test_coupled_stands_where_the_plain_draw_is(
    tables: list[Law], seed: int, place: int, proposed: list[int]
) -> None:
    (p,) = tables
    token = int(draw(torch.from_numpy(p), Stream(seed, [1, 2]).at(place)))
    candidates = [x for x in proposed if x < len(p)] or [0]
    index = first_of(token, candidates)
    assert index == (candidates.index(token) if token in candidates else NONE)


@given(st.data())
def test_the_first_coin_that_comes_up_decides(data: st.DataObject) -> None:
    unit = st.floats(0, 1)
    chances, uniforms = (
        data.draw(hnp.arrays(np.float64, (3, 4), elements=unit), label) for label in ("odds", "up")
    )
    found = first_accepted(torch.from_numpy(chances), torch.from_numpy(uniforms)).tolist()
    for row, index in enumerate(found):
        ups = [place for place in range(4) if uniforms[row, place] < chances[row, place]]
        assert index == (ups[0] if ups else NONE)


@given(laws(4), st.data())
def test_nodes_are_judged_side_by_side_as_one_by_one(
    tables: list[Law], data: st.DataObject
) -> None:
    p, q = (torch.from_numpy(np.stack(some)) for some in (tables[:2], tables[2:]))
    row = st.lists(st.integers(0, len(tables[0]) - 1), min_size=3, max_size=3)
    x = torch.tensor([data.draw(row), data.draw(row)])
    for replacement in (False, True):
        chances, left = verification.recursive_rejection(p, q, x, replacement=replacement)
        for node in (0, 1):
            _, odds, law = recursive_rejection(
                p[node].numpy(), q[node].numpy(), x[node].tolist(), replacement
            )
            assert chances[node].tolist() == odds
            assert (left[node].numpy() == law).all()


def test_what_was_not_drawn_is_rejected_and_changes_nothing() -> None:
    """Support of q smaller than k: what fills the row up has no chance and takes no mass."""
    p, q = P, np.array([0.0, 0.4, 0.6, 0.0])
    _, chances, left = recursive_rejection(p, q, [1, 2], False)
    _, more, same = recursive_rejection(p, q, [1, 2, 0, 3], False)
    assert more == [*chances, 0.0, 0.0]
    assert same == pytest.approx(left, abs=1e-15)


def drops_small(p, q, candidates, replacement):
    """Mutant: forgets a drawn candidate because its q is small."""
    some = [x for x in candidates if q[x] > 0.25]
    return recursive_rejection(p, q, some, replacement) if some else ([], [], p)


def sorts_siblings(p, q, candidates, replacement):
    """Mutant: tests siblings by their q instead of as they were drawn."""
    return recursive_rejection(p, q, sorted(candidates, key=lambda x: -q[x]), replacement)


def skips_duplicates(p, q, candidates, replacement):
    """Mutant: does not test again what was drawn before."""
    return recursive_rejection(p, q, list(dict.fromkeys(candidates)), replacement)


def no_residual(p, q, candidates, replacement):
    """Mutant: after rejections it writes from the target's law."""
    tested, chances, _ = recursive_rejection(p, q, candidates, replacement)
    return tested, chances, p


def stale_residual(p, q, candidates, replacement):
    """Mutant: every sibling is tested against the first one's laws."""
    chances = [min(1.0, p[x] / q[x]) if q[x] else 0.0 for x in candidates]
    return candidates, chances, residual(p, q)


def not_renormalized(p, candidates):
    """Mutant: a rejected point mass is struck out, and its share is given to nobody."""
    chances = [0.0 if x in candidates[:i] else p[x] for i, x in enumerate(candidates)]
    left = np.where(np.isin(np.arange(len(p)), candidates), 0.0, p)
    return candidates, chances, left / left.sum()


def still_in_p(p, candidates):
    """Mutant: a rejected point mass keeps its place in p."""
    return candidates, [p[x] for x in candidates], p


def likeliest_of_the_accepted(chance, p, q, k):
    """Mutant: flips every coin first, then takes the likeliest candidate that came up."""
    candidates = best(q, k)
    up = [x for x in candidates if chance.accepts(p[x])]
    left = point_by_point(p, candidates)[2]
    return max(up, key=lambda x: p[x]) if up else chance.draws(left)


MUTANTS = [
    (without_replacement, {"rule": drops_small}, 0.01),
    (with_replacement, {"rule": drops_small}, 0.01),
    (without_replacement, {"rule": sorts_siblings}, 0.01),
    (with_replacement, {"rule": skips_duplicates}, 0.005),
    (without_replacement, {"rule": no_residual}, 0.01),
    (with_replacement, {"rule": no_residual}, 0.01),
    (without_replacement, {"rule": stale_residual}, 0.01),
    (naively, {"draws_again": True}, 0.005),
    (pointwise, {"rule": not_renormalized}, 0.01),
    (pointwise, {"rule": still_in_p}, 0.01),
    (likeliest_of_the_accepted, {}, 0.01),
]


@pytest.mark.parametrize(("play", "mutation", "least"), MUTANTS)
def test_mutants_are_found_out(play: Callable[..., int], mutation: dict, least: float) -> None:
    p, q = P, np.array([0.2, 0.15, 0.6, 0.05])
    assert not mutation or distance(play, p, q, 2) < 1e-12
    assert max(distance(play, p, q, k, **mutation) for k in (2, 3)) > least


# Two levels: x is a sibling below a node, y the one token drafted below x. The joint law of
# what is written must be p(x) p(y | x).

P2 = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]])
Q2 = np.array([[0.2, 0.3, 0.5], [0.3, 0.3, 0.4], [0.6, 0.2, 0.2]])
P1, Q1 = np.array([0.4, 0.35, 0.25]), np.array([0.3, 0.5, 0.2])


def fits(chance: Chance, x: int, y: int) -> bool:
    """Whether y, drafted below x, passes its test."""
    return chance.accepts(min(1.0, P2[x, y] / Q2[x, y]))


def two_levels(chance: Chance, siblings, verdict: Verdict) -> tuple[int, int]:
    """The sibling that stands, and what is written below it."""
    _, chances, left = verdict
    for (x, y), odds in zip(siblings, chances, strict=True):
        if chance.accepts(odds):
            return x, y if fits(chance, x, y) else chance.draws(residual(P2[x], Q2[x]))
    x = chance.draws(left)
    return x, chance.draws(P2[x])


def drafted(chance: Chance, candidates: list[int], hindsight: bool) -> list[tuple[int, int]]:
    """Each sibling with the token drafted below it; in hindsight those that fit come first."""
    siblings = [(x, chance.draws(Q2[x])) for x in candidates]
    return sorted(siblings, key=lambda xy: -P2[xy]) if hindsight else siblings


def sampled(chance: Chance, hindsight: bool) -> tuple[int, int]:
    """Siblings drawn from q."""
    siblings = drafted(chance, drawn(chance, Q1, 2, replacement=True), hindsight)
    verdict = recursive_rejection(P1, Q1, [x for x, _ in siblings], True)
    return two_levels(chance, siblings, verdict)


def given_ones(chance: Chance, hindsight: bool) -> tuple[int, int]:
    """Siblings that nobody drew."""
    siblings = drafted(chance, [0, 1], hindsight)
    return two_levels(chance, siblings, point_by_point(P1, [x for x, _ in siblings]))


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
    assert [recursive_rejection(p, p, [x], False)[1] for x in range(3)] == [[1.0]] * 3


def test_recursive_rejection_by_hand() -> None:
    """p = (.6, .4), q = (.9, .1): token 0 stands with 2/3, else token 1 is certain."""
    _, chances, left = recursive_rejection(np.array([0.6, 0.4]), np.array([0.9, 0.1]), [0], False)
    assert chances == pytest.approx([2 / 3])
    assert left == pytest.approx([0.0, 1.0])


def test_point_mass_by_hand() -> None:
    """p = (.5, .3, .2) with candidates 1, 0, 1: .3, then .5/.7, then nothing is left of 1."""
    _, chances, left = point_by_point(np.array([0.5, 0.3, 0.2]), [1, 0, 1])
    assert chances == pytest.approx([0.3, 5 / 7, 0.0])
    assert left == pytest.approx([0.0, 0.0, 1.0])


def test_greedy_target_takes_its_token_wherever_it_was_drafted() -> None:
    p = np.eye(5)[3]
    q = np.array([0.4, 0.3, 0.1, 0.1, 0.1])
    assert recursive_rejection(p, q, [0, 1, 3, 2], False)[1][:3] == [0.0, 0.0, 1.0]
    _, chances, left = recursive_rejection(p, q, [0, 1, 2], False)
    assert chances == [0.0] * 3
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
