"""What sources promise: chances by hand, and the law of the race behind them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.decoders.drafting.calibration import Calibration
from tasteshift.decoders.drafting.copy_index import CopyIndex
from tasteshift.decoders.drafting.sources import (
    certainty,
    copied,
    family,
    margin,
    prior,
    ranked,
    win_prob,
)


@given(st.floats(0.05, 0.98))
def test_the_odds_given_the_noise_average_to_the_odds(rate) -> None:
    # E of a token is exponential; the integral of exp(-e) * odds(e) over e is its rate again
    edges = np.linspace(0.0, 40.0, 20_001)
    middle = (edges[1:] + edges[:-1]) / 2
    odds = np.exp(-middle * (1.0 - rate) / rate)
    assert np.sum(np.exp(-middle) * odds) * (edges[1] - edges[0]) == pytest.approx(rate, abs=1e-3)
    times = np.array([0.3, 1.7])
    assert win_prob(rate, 1, times) == pytest.approx(math.exp(-1.7 * (1 - rate) / rate))
    assert win_prob(rate, 1, None) == rate


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 5), st.booleans())
def test_copies_promise_each_token_once_and_no_more_than_all(text, width, noisy) -> None:
    copies = CopyIndex((3, 2, 1))
    copies.extend(text)
    times = np.array([0.5, 1.0, 0.1, 2.0]) if noisy else None
    guesses = copied(copies, copies.tail, Calibration(prior, family), times, width)
    tokens = [guess.token for guess in guesses]
    assert len(tokens) == len(set(tokens)) <= width
    assert set(tokens) <= set(text)
    assert all(guess.prob > 0 and len(guess.kinds) == 1 for guess in guesses)
    assert sum(guess.prob for guess in guesses) <= 1.0 + 1e-9


def test_longer_contexts_speak_first_and_the_noise_picks_among_branches() -> None:
    copies = CopyIndex((2, 1))
    copies.extend([1, 2, 7, 1, 2, 7, 5, 2, 8, 6, 2, 9, 1, 2])
    guesses = copied(copies, copies.tail, Calibration(prior, family), None, 4)
    assert [guess.token for guess in guesses] == [7, 8, 9]
    assert [guess.kinds[0][:2] for guess in guesses] == [("copy", 2), ("copy", 1), ("copy", 1)]
    times = np.full(10, 3.0)
    times[9] = 0.01
    guesses = copied(copies, copies.tail, Calibration(prior, family), times, 4)
    assert [guess.token for guess in guesses][:2] == [7, 9]


def test_a_ranking_is_judged_by_its_gaps() -> None:
    kinds = [
        guess.kinds[0] for guess in ranked("draft", [(4, 5.0), (2, 3.5), (9, -9.0)], CALIBRATION)
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
