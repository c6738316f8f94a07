"""Every verification rule keeps the target's distribution: enumeration of all random choices.

A node of a draft tree is a program that asks `Choices` for its random choices, and
`distribution_of` runs it once for every sequence of answers: the draws of candidates, and an
acceptance for every probability that the rule under test gives. `RULES` lists the rules.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasteshift.decoders.sampling import verification
from tasteshift.decoders.sampling.distribution import draw
from tasteshift.decoders.sampling.noise import Stream
from tasteshift.decoders.sampling.verification import NONE, coupled, point_mass

Probs = NDArray[np.float64]
Outcome = tuple[list[int], list[float], Probs]
"""Candidates in test order, their acceptance probabilities, the distribution after all of them."""


def recursive_rejection(p: Probs, q: Probs, candidates: list[int], replacement: bool) -> Outcome:
    """The recursive rejection rule, on one node."""
    accept_prob, left = verification.recursive_rejection(
        torch.from_numpy(p), torch.from_numpy(q), torch.tensor(candidates), replacement=replacement
    )
    return candidates, accept_prob.tolist(), left.numpy()


def point_by_point(p: Probs, candidates: list[int]) -> Outcome:
    """The point-mass rule, on one node."""
    accept_prob, left = point_mass(torch.from_numpy(p), torch.tensor(candidates))
    return candidates, accept_prob.tolist(), left.numpy()


def residual(p: Probs, q: Probs) -> Probs:
    left: Probs = verification.residual(torch.from_numpy(p), torch.from_numpy(q)).numpy()
    return left


def without(probs: Probs, x: int) -> Probs:
    rest: Probs = verification.without(torch.from_numpy(probs), torch.tensor(x)).numpy()
    return rest


class Choices:
    """One run: follows a script of choices, then always takes the first; keeps its probability."""

    def __init__(self, script):
        self.script = list(script)
        self.taken: list[int] = []
        self.open: list[int] = []
        self.probability = 1.0

    def draws(self, probs) -> int:
        """A token of the distribution."""
        support = np.flatnonzero(probs)
        position = len(self.taken)
        choice = self.script[position] if position < len(self.script) else 0
        self.taken.append(choice)
        self.open.append(len(support))
        token = int(support[choice])
        self.probability *= float(probs[token])
        return token

    def accepts(self, prob: float) -> bool:
        """Whether an event of this probability occurs."""
        assert 0 <= prob <= 1
        return self.draws(np.array([1 - prob, prob])) == 1


def distribution_of(program, *arguments) -> dict:
    """Outcome -> probability of a program, over every sequence of its random choices."""
    outcomes: dict = {}
    script: list[int] | None = []
    while script is not None:
        choices = Choices(script)
        outcome = program(choices, *arguments)
        outcomes[outcome] = outcomes.get(outcome, 0.0) + choices.probability
        script = None
        for position in reversed(range(len(choices.taken))):
            if choices.taken[position] + 1 < choices.open[position]:
                script = [*choices.taken[:position], choices.taken[position] + 1]
                break
    return outcomes


def drawn(choices: Choices, q: Probs, k: int, replacement: bool = False) -> list[int]:
    """min(k, support) candidates from q in drawing order."""
    found: list[int] = []
    while len(found) < k and q.any():
        found.append(choices.draws(q))
        q = q if replacement else without(q, found[-1])
    return found


def likeliest(q: Probs, k: int) -> list[int]:
    """The k likeliest tokens of q: a candidate set without any draw."""
    return np.argsort(-q, kind="stable")[:k].tolist()


def written_token(choices: Choices, outcome: Outcome) -> int:
    """The token written: the first accepted candidate, or a draw from what is left."""
    candidates, accept_prob, left = outcome
    for x, prob in zip(candidates, accept_prob, strict=True):
        if choices.accepts(prob):
            return x
    return choices.draws(left)


def without_replacement(choices, p, q, k, rule=recursive_rejection):
    """Node of mcsd."""
    return written_token(choices, rule(p, q, drawn(choices, q, k), False))


def with_replacement(choices, p, q, k, rule=recursive_rejection):
    """Node of mcsd, siblings drawn independently."""
    return written_token(choices, rule(p, q, drawn(choices, q, k, replacement=True), True))


def accepted_index(token: int, candidates: list[int]) -> int:
    """Index of the accepted candidate."""
    return int(coupled(torch.tensor(token), torch.tensor(candidates)))


def naively(choices, p, q, k, draws_again=False):
    """Candidates from anywhere: the most, the least likely of q, and a draw."""
    candidates = [*likeliest(q, k)[:-1], *likeliest(-q, 1), *drawn(choices, q, 1)]
    token = choices.draws(p)
    index = accepted_index(token, candidates)
    if index != NONE:
        return candidates[index]
    return choices.draws(p) if draws_again else token


def pointwise(choices, p, q, k, rule=point_by_point):
    """A set that was not drawn, with a repeated token."""
    return written_token(choices, rule(p, [*likeliest(q, k), *likeliest(q, 1)]))


RULES = {
    "recursive, without replacement": without_replacement,
    "recursive, with replacement": with_replacement,
    "naive": naively,
    "point mass": pointwise,
}
"""Name -> (choices, p, q, k) -> the token that a node writes."""


def distance(program, p: Probs, q: Probs, k: int, **options) -> float:
    """Total variation between what a node writes and p."""
    probs = distribution_of(lambda choices: program(choices, p, q, k, **options))
    return sum(abs(probs.get(token, 0.0) - p[token]) for token in range(len(p))) / 2


@st.composite
def distributions(draw_: st.DrawFn, count: int = 2) -> list[Probs]:
    """Distributions over 2 to 5 tokens: some with tokens of no mass, point masses, equal ones."""
    size = draw_(st.integers(2, 5))
    mass = st.one_of(st.just(0.0), st.floats(1e-3, 1.0))
    rows: list[Probs] = []
    for _ in range(count):
        kind = draw_(st.sampled_from(["any", "any", "any", "point", "equal"]))
        row = np.array(draw_(st.lists(mass, min_size=size, max_size=size)))
        if kind == "point" or not row.any():
            row = np.eye(size)[draw_(st.integers(0, size - 1))]
        rows.append(rows[0] if kind == "equal" and rows else row / row.sum())
    return rows


@pytest.mark.parametrize("name", RULES)
@settings(deadline=None, max_examples=100)
@given(tables=distributions(), k=st.integers(1, 4))
def test_output_has_the_targets_distribution(name: str, tables: list[Probs], k: int) -> None:
    p, q = tables
    assert distance(RULES[name], p, q, k) < 1e-12


P = np.array([0.5, 0.3, 0.15, 0.05])
EDGES = {
    "equal distributions": (P, P),
    "support of q smaller than k": (P, np.array([0.0, 0.4, 0.6, 0.0])),
    "q on one token": (P, np.eye(4)[2]),
    "q disjoint from p": (np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.0, 0.0, 0.3, 0.7])),
    "p on one token": (np.eye(4)[3], P),
    "both on one token": (np.eye(4)[1], np.eye(4)[1]),
    "both on other tokens": (np.eye(4)[1], np.eye(4)[0]),
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", RULES)
def test_edge_cases(name: str, edge: str) -> None:
    p, q = EDGES[edge]
    for k in (1, 2, 4):
        assert distance(RULES[name], p, q, k) < 1e-12


@given(
    distributions(1),
    st.integers(0, 99),
    st.integers(0, 50),
    st.lists(st.integers(0, 4), max_size=6),
)
def test_coupled_accepts_the_independent_draw(
    tables: list[Probs], seed: int, position: int, drafted_tokens: list[int]
) -> None:
    (p,) = tables
    token = int(draw(torch.from_numpy(p), Stream(seed, [1, 2]).at(position)))
    candidates = [x for x in drafted_tokens if x < len(p)] or [0]
    index = accepted_index(token, candidates)
    assert index == (candidates.index(token) if token in candidates else NONE)


@given(distributions(4), st.data())
def test_many_nodes_at_once_equal_each_alone(tables: list[Probs], data: st.DataObject) -> None:
    p, q = (torch.from_numpy(np.stack(some)) for some in (tables[:2], tables[2:]))
    row = st.lists(st.integers(0, len(tables[0]) - 1), min_size=3, max_size=3)
    x = torch.tensor([data.draw(row), data.draw(row)])
    for replacement in (False, True):
        accept_prob, left = verification.recursive_rejection(p, q, x, replacement=replacement)
        for node in (0, 1):
            _, prob, probs = recursive_rejection(
                p[node].numpy(), q[node].numpy(), x[node].tolist(), replacement
            )
            assert accept_prob[node].tolist() == prob
            assert (left[node].numpy() == probs).all()


def drops_small(p, q, candidates, replacement):
    """Wrong rule: drops a drawn candidate because its q is small."""
    kept = [x for x in candidates if q[x] > 0.25]
    return recursive_rejection(p, q, kept, replacement) if kept else ([], [], p)


def sorts_siblings(p, q, candidates, replacement):
    """Wrong rule: tests siblings by their q instead of as they were drawn."""
    return recursive_rejection(p, q, sorted(candidates, key=lambda x: -q[x]), replacement)


def skips_duplicates(p, q, candidates, replacement):
    """Wrong rule: skips repeated candidates."""
    return recursive_rejection(p, q, list(dict.fromkeys(candidates)), replacement)


def no_residual(p, q, candidates, replacement):
    """Wrong rule: resamples from p instead of the residual."""
    tested, accept_prob, _ = recursive_rejection(p, q, candidates, replacement)
    return tested, accept_prob, p


def stale_residual(p, q, candidates, replacement):
    """Wrong rule: tests every sibling against the first p and q."""
    accept_prob = [min(1.0, p[x] / q[x]) if q[x] else 0.0 for x in candidates]
    return candidates, accept_prob, residual(p, q)


def not_renormalized(p, candidates):
    """Wrong rule: removes a rejected point mass without renormalizing."""
    accept_prob = [0.0 if x in candidates[:i] else p[x] for i, x in enumerate(candidates)]
    left = np.where(np.isin(np.arange(len(p)), candidates), 0.0, p)
    return candidates, accept_prob, left / left.sum()


def still_in_p(p, candidates):
    """Wrong rule: leaves a rejected point mass in p."""
    return candidates, [p[x] for x in candidates], p


def likeliest_of_the_accepted(choices, p, q, k):
    """Wrong rule: tests all candidates first, then takes the likeliest accepted one."""
    candidates = likeliest(q, k)
    accepted = [x for x in candidates if choices.accepts(p[x])]
    left = point_by_point(p, candidates)[2]
    return max(accepted, key=lambda x: p[x]) if accepted else choices.draws(left)


WRONG_RULES = [
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


@pytest.mark.parametrize(("program", "options", "least"), WRONG_RULES)
def test_wrong_rules_are_detected(program: Callable[..., int], options: dict, least: float) -> None:
    p, q = P, np.array([0.2, 0.15, 0.6, 0.05])
    assert not options or distance(program, p, q, 2) < 1e-12
    assert max(distance(program, p, q, k, **options) for k in (2, 3)) > least


# Two levels: x is a sibling below a node, y the one token drafted below x. The joint distribution
# of what is written must be p(x) p(y | x).

P2 = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]])
Q2 = np.array([[0.2, 0.3, 0.5], [0.3, 0.3, 0.4], [0.6, 0.2, 0.2]])
P1, Q1 = np.array([0.4, 0.35, 0.25]), np.array([0.3, 0.5, 0.2])


def accepts_below(choices: Choices, x: int, y: int) -> bool:
    """Whether y, drafted below x, passes its test."""
    return choices.accepts(min(1.0, P2[x, y] / Q2[x, y]))


def two_levels(choices: Choices, siblings, outcome: Outcome) -> tuple[int, int]:
    """The accepted sibling, and what is written below it."""
    _, accept_prob, left = outcome
    for (x, y), prob in zip(siblings, accept_prob, strict=True):
        if choices.accepts(prob):
            return x, y if accepts_below(choices, x, y) else choices.draws(residual(P2[x], Q2[x]))
    x = choices.draws(left)
    return x, choices.draws(P2[x])


def drafted(choices: Choices, candidates: list[int], reorder: bool) -> list[tuple[int, int]]:
    """Each sibling with the token drafted below it (optionally by descending p)."""
    siblings = [(x, choices.draws(Q2[x])) for x in candidates]
    return sorted(siblings, key=lambda xy: -P2[xy]) if reorder else siblings


def sampled(choices: Choices, reorder: bool) -> tuple[int, int]:
    """Siblings drawn from q."""
    siblings = drafted(choices, drawn(choices, Q1, 2, replacement=True), reorder)
    outcome = recursive_rejection(P1, Q1, [x for x, _ in siblings], True)
    return two_levels(choices, siblings, outcome)


def not_drawn(choices: Choices, reorder: bool) -> tuple[int, int]:
    """Siblings that were not drawn."""
    siblings = drafted(choices, [0, 1], reorder)
    return two_levels(choices, siblings, point_by_point(P1, [x for x, _ in siblings]))


def longest_root(choices: Choices, width: int) -> tuple[int, int]:
    """Roots drawn from p; the one whose drafted token is accepted is kept."""
    roots = drawn(choices, P1, width)
    below = [choices.draws(Q2[x]) for x in roots]
    accepted = [accepts_below(choices, x, y) for x, y in zip(roots, below, strict=True)]
    kept = accepted.index(True) if any(accepted) else 0
    x, y = roots[kept], below[kept]
    return x, y if accepted[kept] else choices.draws(residual(P2[x], Q2[x]))


@pytest.mark.parametrize(
    ("program", "argument", "exact"),
    [
        (sampled, False, True),
        (sampled, True, False),
        (not_drawn, False, True),
        (not_drawn, True, True),
        (longest_root, 1, True),
        (longest_root, 2, False),
        (longest_root, 3, False),
    ],
)
def test_choosing_siblings_by_what_was_drawn_below(program, argument, exact: bool) -> None:
    joint = P1[:, None] * P2
    probs = distribution_of(program, argument)
    apart = sum(abs(probs.get((x, y), 0.0) - joint[x, y]) for x in range(3) for y in range(3)) / 2
    assert apart < 1e-12 if exact else apart > 0.01


def test_the_enumeration_covers_every_branch() -> None:
    """Two events by hand."""
    probs = distribution_of(lambda choices: (choices.accepts(0.25), choices.accepts(0.5)))
    assert probs == {
        (False, False): 0.375,
        (False, True): 0.375,
        (True, False): 0.125,
        (True, True): 0.125,
    }
