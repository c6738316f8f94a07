"""Probabilities and candidates against closed forms."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import power_divergence

from tasteshift.decoders.sampling.distribution import Sampling, argmax, candidates, draw, race
from tasteshift.decoders.sampling.noise import Stream
from tasteshift.errors import InputError


def probs_of(rows: np.ndarray, *sampling: float) -> np.ndarray:
    """`Sampling.probs` on NumPy arrays."""
    table: np.ndarray = Sampling(*sampling).probs(torch.from_numpy(rows)).numpy()  # type: ignore[arg-type]
    return table


logits = hnp.arrays(np.float32, (3, 6), elements=st.floats(-200, 200, width=32))


@given(logits, st.floats(0.05, 50))
def test_probs_are_softmax(rows: np.ndarray, temperature: float) -> None:
    table = probs_of(rows, temperature)
    exact = np.exp((rows - rows.max(-1, keepdims=True)).astype(np.float64) / temperature)
    exact /= exact.sum(-1, keepdims=True)
    assert table.dtype == np.float32
    assert np.abs(table - exact).max() < 1e-4


@given(logits, st.sampled_from([0.0, 1e-9, 9.9e-5]))
def test_greedy_mass_is_on_the_lowest_of_the_best(rows: np.ndarray, temperature: float) -> None:
    table = probs_of(rows, temperature)
    for row, one in zip(rows, table, strict=True):
        first = next(i for i, value in enumerate(row) if value == max(row))
        assert one.tolist() == np.eye(6)[first].tolist()


def test_huge_logits_stay_finite() -> None:
    rows = torch.tensor([3e38, 3e38])
    assert Sampling(0.001).probs(rows).tolist() == [0.5, 0.5]


def slow_cut(probs: np.ndarray, top_k: int, top_p: float) -> np.ndarray:
    """Token by token from the likeliest down, lowest ids first among equals."""
    kept: list[int] = []
    order = sorted(range(len(probs)), key=lambda i: (-probs[i], i))[: top_k or None]
    whole = float(sum(probs[i] for i in order))
    for i in order:
        if probs[i] > 0 and sum(float(probs[j]) for j in kept) < top_p * whole - 1e-9:
            kept.append(i)
    cut = np.zeros(len(probs))
    cut[kept] = probs[kept]
    return cut / cut.sum()


@given(st.lists(st.integers(-6, 6), min_size=5, max_size=5), st.integers(0, 7), st.data())
def test_top_k_and_top_p_keep_the_likeliest(levels, top_k: int, data: st.DataObject) -> None:
    top_p = data.draw(st.sampled_from([1.0, 0.999, 0.83, 0.47, 0.11, 1e-6]))
    rows = np.array([levels, levels[::-1]], dtype=np.float32) / 2
    for row, cut in zip(probs_of(rows, 1.0), probs_of(rows, 1.0, top_k, top_p), strict=True):
        assert np.abs(cut - slow_cut(row, top_k, top_p)).max() < 1e-5


def test_top_k_of_one_is_greedy() -> None:
    rows = torch.tensor([[0.5, 2.0, 2.0, -1.0]])
    assert Sampling(5.0, top_k=1).probs(rows).tolist() == Sampling().probs(rows).tolist()
    assert Sampling(5.0, top_p=1e-9).probs(rows).tolist() == Sampling().probs(rows).tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": "warm"}, "temperature is 'warm'"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_k": 2.5}, "top_k is 2.5"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
    ],
)
def test_unusable_settings_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sampling(**options)  # type: ignore[arg-type]


def test_pairs_without_replacement_follow_their_distribution() -> None:
    """P(i, then j) = q_i q_j / (1 − q_i); 40,000 rows of one draw each."""
    q = np.array([0.5, 0.25, 0.15, 0.1])
    ids, drawn = candidates(torch.from_numpy(q).repeat(40_000, 1), 2, Stream(7).at(0))
    assert drawn.all()
    counts = np.zeros((4, 4))
    np.add.at(counts, tuple(ids.numpy().T), 1)
    expected = np.outer(q, q) / (1 - q)[:, None]
    off = ~np.eye(4, dtype=bool)
    assert counts[~off].sum() == 0
    assert g_test(counts[off], expected[off]) > 1e-3


def test_pairs_with_replacement_are_independent() -> None:
    q = np.array([0.5, 0.25, 0.15, 0.1])
    table = torch.from_numpy(q).repeat(40_000, 1)
    ids, _ = candidates(table, 2, Stream(8).at(0), replacement=True)
    counts = np.zeros((4, 4))
    np.add.at(counts, tuple(ids.numpy().T), 1)
    assert g_test(counts.ravel(), np.outer(q, q).ravel()) > 1e-3


def g_test(counts: np.ndarray, probs: np.ndarray) -> float:
    """p-value of the likelihood-ratio test."""
    expected = probs.astype(np.float64) / probs.sum(dtype=np.float64) * counts.sum()
    return float(power_divergence(counts, expected, lambda_="log-likelihood")[1])


def test_tokens_without_mass_are_not_drawn() -> None:
    q = torch.tensor([[0.0, 0.7, 0.0, 0.3]])
    ids, drawn = candidates(q, 3, Stream(1).at(0))
    assert drawn.tolist() == [[True, True, False]]
    assert sorted(ids[0, :2].tolist()) == [1, 3]
    assert draw(torch.eye(5)[2], Stream(1).at(0)) == 2


def test_more_candidates_than_tokens() -> None:
    ids, drawn = candidates(torch.tensor([[0.6, 0.4]]), 5, Stream(1).at(0))
    assert ids.shape == (1, 5)
    assert drawn.tolist() == [[True, True, False, False, False]]


@given(hnp.arrays(np.float32, (3, 9), elements=st.integers(-2, 2)), st.integers(1, 9))
def test_the_lowest_of_equal_scores_comes_first(scores: np.ndarray, width: int) -> None:
    ids, drawn = candidates(torch.from_numpy(scores), width, None)
    assert drawn.all()
    for row, found in zip(scores, ids.tolist(), strict=True):
        assert found[0] == row.argmax()
        assert len(set(found)) == width
        assert [row[i] for i in found] == sorted(row, reverse=True)[:width]
        assert all(a < b for a, b in pairwise(found) if row[a] == row[b])


@given(hnp.arrays(np.float32, (2, 3, 5), elements=st.integers(-2, 2)))
def test_argmax_equals_that_of_torch(scores: np.ndarray) -> None:
    assert (argmax(torch.from_numpy(scores)) == torch.from_numpy(scores).argmax(-1)).all()


def test_greedy_candidates_are_the_best_in_order() -> None:
    scores = torch.tensor([[0.1, 3.0, -1.0, 2.0]])
    assert candidates(scores, 3, None)[0].tolist() == [[1, 3, 0]]
    assert candidates(scores, 3, None, replacement=True)[0].tolist() == [[1, 1, 1]]


def test_impossible_tokens_are_not_candidates() -> None:
    scores = torch.tensor([[0.1, -torch.inf, 2.0, -torch.inf]])
    assert candidates(scores, 3, None)[1].tolist() == [[True, True, False]]


def test_race_is_fine_enough_for_large_vocabularies() -> None:
    """A token of mass 1e-12 must not win because an exponential was rounded to zero."""
    table = torch.full((40, 49_152), 1e-12, dtype=torch.float64)
    table[:, 0] = 1.0
    assert (race(table, Stream(3).at(0)).argmax(-1) == 0).all()
