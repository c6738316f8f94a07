"""Verification rules on single nodes, by hand; uniform draws, padding and greedy targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from tasteshift.decoders.sampling.verification import (
    NONE,
    first_accepted,
    point_mass,
    recursive_rejection,
)

Probs = NDArray[np.float64]


def rejection(p: Probs, q: Probs, candidates: list[int]) -> tuple[list[float], Probs]:
    """Acceptance probabilities of different candidates, and the distribution after all of them."""
    accept_prob, left = recursive_rejection(
        torch.from_numpy(p), torch.from_numpy(q), torch.tensor(candidates), replacement=False
    )
    return accept_prob.tolist(), left.numpy()


def points(p: Probs, candidates: list[int]) -> tuple[list[float], Probs]:
    """The same by the point-mass rule."""
    accept_prob, left = point_mass(torch.from_numpy(p), torch.tensor(candidates))
    return accept_prob.tolist(), left.numpy()


@given(st.data())
def test_the_first_uniform_below_its_probability_accepts(
    data: st.DataObject,
) -> None:
    unit = st.floats(0, 1)
    accept_prob, uniforms = (
        data.draw(hnp.arrays(np.float64, (3, 4), elements=unit), label)
        for label in ("probs", "uniforms")
    )
    found = first_accepted(torch.from_numpy(accept_prob), torch.from_numpy(uniforms)).tolist()
    for row, index in enumerate(found):
        below = [i for i in range(4) if uniforms[row, i] < accept_prob[row, i]]
        assert index == (below[0] if below else NONE)


def test_padding_is_rejected_and_changes_nothing() -> None:
    """Support of q smaller than k: padding is never accepted and takes no mass."""
    p, q = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.0, 0.4, 0.6, 0.0])
    accept_prob, left = rejection(p, q, [1, 2])
    more, same = rejection(p, q, [1, 2, 0, 3])
    assert more == [*accept_prob, 0.0, 0.0]
    assert same == pytest.approx(left, abs=1e-15)


def test_the_first_candidate_of_an_equal_distribution_is_always_accepted() -> None:
    p = np.array([0.2, 0.5, 0.3])
    assert [rejection(p, p, [x])[0] for x in range(3)] == [[1.0]] * 3


def test_recursive_rejection_by_hand() -> None:
    """p = (.6, .4), q = (.9, .1): token 0 is accepted with 2/3, else token 1 is certain."""
    accept_prob, left = rejection(np.array([0.6, 0.4]), np.array([0.9, 0.1]), [0])
    assert accept_prob == pytest.approx([2 / 3])
    assert left == pytest.approx([0.0, 1.0])


def test_point_mass_by_hand() -> None:
    """p = (.5, .3, .2) with candidates 1, 0, 1: .3, then .5/.7, then nothing is left of 1."""
    accept_prob, left = points(np.array([0.5, 0.3, 0.2]), [1, 0, 1])
    assert accept_prob == pytest.approx([0.3, 5 / 7, 0.0])
    assert left == pytest.approx([0.0, 0.0, 1.0])


def test_a_greedy_target_accepts_its_token_at_any_index() -> None:
    p = np.eye(5)[3]
    q = np.array([0.4, 0.3, 0.1, 0.1, 0.1])
    assert rejection(p, q, [0, 1, 3, 2])[0][:3] == [0.0, 0.0, 1.0]
    accept_prob, left = rejection(p, q, [0, 1, 2])
    assert accept_prob == [0.0] * 3
    assert left.tolist() == p.tolist()
