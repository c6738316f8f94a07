"""Candidate sources: probabilities by hand, and the exponential race behind them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.decoders.drafting.calibration import Calibration
from tasteshift.decoders.drafting.candidate_probs import (
    certainty,
    copied,
    family,
    margin,
    prior,
    ranked,
    win_prob,
)
from tasteshift.decoders.drafting.copy_index import CopyIndex


@given(st.floats(0.05, 0.98))
def test_win_probabilities_given_the_noise_average_to_the_rate(rate) -> None:
    # E of a token is exponential; the integral of exp(-e) * probs(e) over e is its rate again
    edges = np.linspace(0.0, 40.0, 20_001)
    middle = (edges[1:] + edges[:-1]) / 2
    probs = np.exp(-middle * (1.0 - rate) / rate)
    assert np.sum(np.exp(-middle) * probs) * (edges[1] - edges[0]) == pytest.approx(rate, abs=1e-3)
    exponentials = np.array([0.3, 1.7])
    assert win_prob(rate, 1, exponentials) == pytest.approx(math.exp(-1.7 * (1 - rate) / rate))
    assert win_prob(rate, 1, None) == rate


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 5), st.booleans())
def test_copies_name_each_token_once_and_sum_to_at_most_one(text, width, noisy) -> None:
    copies = CopyIndex((3, 2, 1))
    copies.extend(text)
    exponentials = np.array([0.5, 1.0, 0.1, 2.0]) if noisy else None
    candidates = copied(copies, copies.tail, Calibration(prior, family), exponentials, width)
    tokens = [candidate.token for candidate in candidates]
    assert len(tokens) == len(set(tokens)) <= width
    assert set(tokens) <= set(text)
    assert all(candidate.prob > 0 and len(candidate.kinds) == 1 for candidate in candidates)
    assert sum(candidate.prob for candidate in candidates) <= 1.0 + 1e-9


def test_longer_contexts_come_first_and_the_noise_ranks_branches() -> None:
    copies = CopyIndex((2, 1))
    copies.extend([1, 2, 7, 1, 2, 7, 5, 2, 8, 6, 2, 9, 1, 2])
    candidates = copied(copies, copies.tail, Calibration(prior, family), None, 4)
    assert [candidate.token for candidate in candidates] == [7, 8, 9]
    assert [candidate.kinds[0][:2] for candidate in candidates] == [
        ("copy", 2),
        ("copy", 1),
        ("copy", 1),
    ]
    exponentials = np.full(10, 3.0)
    exponentials[9] = 0.01
    candidates = copied(copies, copies.tail, Calibration(prior, family), exponentials, 4)
    assert [candidate.token for candidate in candidates][:2] == [7, 9]


def test_a_ranking_is_graded_by_its_gaps() -> None:
    kinds = [
        candidate.kinds[0]
        for candidate in ranked("draft", [(4, 5.0), (2, 3.5), (9, -9.0)], CALIBRATION)
    ]
    assert kinds == [("draft", 0, margin(1.5)), ("draft", 1, margin(1.5)), ("draft", 1, margin(14))]
    alone = ranked("recycled", [(4, 1.0)], CALIBRATION, grade=1)
    assert alone[0].kinds == [("recycled", 2, margin(math.inf))]
    assert ranked("draft", [], CALIBRATION) == []


CALIBRATION = Calibration(prior, family)


def test_bins() -> None:
    assert [margin(gap) for gap in (0.0, 0.3, 0.7, 1.0, 2.5, 3.0, 5.0, 8.0)] == list(range(8))
    shares = [(5, 5), (1, 1), (3, 6), (2, 6), (1, 10), (1, 20)]
    assert [certainty(*share) for share in shares] == list(range(6))


@given(st.sampled_from(["copy", "recycled", "draft"]), st.integers(1, 12), st.integers(0, 5))
def test_priors_are_rates(source, first, second) -> None:
    kind = (source, first if source == "copy" else first % 4, second)
    assert 0 < prior(kind) < 1
