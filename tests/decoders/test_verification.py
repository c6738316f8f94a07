"""The rule keeps the target's law: enumerated over every draw and every coin, not sampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasteshift.decoders import verification
from tasteshift.decoders.verification import NONE, recursive_rejection

Law = NDArray[np.float64]
Rule = Callable[..., tuple[int, Law]]


def draws(q: Law, k: int, replacement: bool) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every sequence of k candidates from q, in drawing order, with its probability."""
    if k == 0 or not q.any():
        yield (), 1.0
        return
    for x in np.flatnonzero(q):
        rest = q if replacement else verification.without(q, x)
        for tail, chance in draws(rest, k - 1, replacement):
            yield (int(x), *tail), float(q[x]) * chance


def written(rule: Rule, p: Law, q: Law, candidates: Sequence[int], replacement: bool) -> Law:
    """Law of the token that is written, given what was drawn: all coins enumerated."""
    law = np.zeros_like(p)
    tested: list[float] = []

    def reject(chance: float) -> bool:
        tested.append(chance)
        return False

    _, left = rule(p, q, candidates, reject, replacement=replacement)
    reached = 1.0
    for stop, chance in enumerate(tested):
        coins = iter([False] * stop + [True])
        index, _ = rule(p, q, candidates, lambda _: next(coins), replacement=replacement)  # noqa: B023
        law[candidates[index]] += reached * chance
        reached *= 1.0 - chance
    return law + reached * left


def output_law(rule: Rule, p: Law, q: Law, k: int, replacement: bool) -> Law:
    """Law of the token that a node writes under `rule`."""
    total = np.zeros_like(p)
    for candidates, chance in draws(q, k, replacement):
        total += chance * written(rule, p, q, candidates, replacement)
    return total


@st.composite
def laws(draw: st.DrawFn) -> tuple[Law, Law]:
    """Two laws over 2 to 5 tokens, often with tokens of no mass."""
    size = draw(st.integers(2, 5))
    mass = st.one_of(st.just(0.0), st.floats(1e-3, 1.0))
    rows = []
    for _ in range(2):
        row = np.array(draw(st.lists(mass, min_size=size, max_size=size)))
        if not row.any():
            row[draw(st.integers(0, size - 1))] = 1.0
        rows.append(row / row.sum())
    return rows[0], rows[1]


@settings(deadline=None, max_examples=150)
@given(laws(), st.integers(1, 4), st.booleans())
def test_output_has_the_targets_law(tables: tuple[Law, Law], k: int, replacement: bool) -> None:
    p, q = tables
    assert np.abs(output_law(recursive_rejection, p, q, k, replacement) - p).max() < 1e-12


def drops_small(p, q, candidates, accepts, *, replacement):
    """Mutant: forgets a drawn candidate because its q is small."""
    kept = [index for index, x in enumerate(candidates) if q[x] > 0.25]
    index, left = recursive_rejection(
        p, q, [candidates[i] for i in kept], accepts, replacement=replacement
    )
    return (index if index == NONE else kept[index]), left


def sorts_siblings(p, q, candidates, accepts, *, replacement):
    """Mutant: tests siblings by their q instead of as they were drawn."""
    order = sorted(range(len(candidates)), key=lambda i: -q[candidates[i]])
    index, left = recursive_rejection(
        p, q, [candidates[i] for i in order], accepts, replacement=replacement
    )
    return (index if index == NONE else order[index]), left


def no_residual(p, q, candidates, accepts, *, replacement):
    """Mutant: after rejections it writes from the target's law."""
    index, left = recursive_rejection(p, q, candidates, accepts, replacement=replacement)
    return index, (p if index == NONE else left)


def skips_duplicates(p, q, candidates, accepts, *, replacement):
    """Mutant: does not test again what was drawn before."""
    kept = [i for i, x in enumerate(candidates) if x not in candidates[:i]]
    index, left = recursive_rejection(
        p, q, [candidates[i] for i in kept], accepts, replacement=replacement
    )
    return (index if index == NONE else kept[index]), left


@pytest.mark.parametrize(
    ("mutant", "replacement"),
    [
        (drops_small, False),
        (drops_small, True),
        (sorts_siblings, False),
        (no_residual, False),
        (no_residual, True),
        (skips_duplicates, True),
    ],
)
def test_mutants_are_found_out(mutant: Rule, replacement: bool) -> None:
    p = np.array([0.5, 0.3, 0.15, 0.05])
    q = np.array([0.2, 0.15, 0.6, 0.05])
    assert np.abs(output_law(recursive_rejection, p, q, 3, replacement) - p).max() < 1e-12
    distance = np.abs(output_law(mutant, p, q, 3, replacement) - p).sum() / 2
    assert distance > 0.005


def test_first_candidate_of_an_equal_law_always_stands() -> None:
    p = np.array([0.2, 0.5, 0.3])
    chances: list[float] = []
    for x in range(3):
        recursive_rejection(p, p, [x], lambda chance: bool(chances.append(chance)) or True)
    assert chances == [1.0, 1.0, 1.0]


def test_by_hand() -> None:
    """p = (.6, .4), q = (.9, .1): token 0 stands with 2/3, else token 1 is certain."""
    chances: list[float] = []
    index, left = recursive_rejection(
        np.array([0.6, 0.4]), np.array([0.9, 0.1]), [0], lambda c: bool(chances.append(c))
    )
    assert index == NONE
    assert chances == pytest.approx([2 / 3])
    assert left == pytest.approx([0.0, 1.0])


def test_greedy_target_takes_its_token_wherever_it_was_drafted() -> None:
    p = np.eye(5)[3]
    q = np.array([0.4, 0.3, 0.1, 0.1, 0.1])
    assert recursive_rejection(p, q, [0, 1, 3, 2], lambda c: c >= 1)[0] == 2
    index, left = recursive_rejection(p, q, [0, 1, 2], lambda c: c >= 1)
    assert index == NONE
    assert left.tolist() == p.tolist()
