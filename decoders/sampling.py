"""From logits to laws to tokens, with noise that belongs to a seed and a place in the text."""

from __future__ import annotations

import hashlib
import numbers
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError

GREEDY_BELOW = 1e-4
"""Temperatures below this are zero: all mass on the most likely token."""


COINS = 1
"""Lane of the noise that decides on guesses; tokens, guessed or not, are drawn in lane 0."""

WARMEST = float(np.finfo(np.float32).max)
"""No temperature that fp32 cannot hold."""


class Stream:
    """Noise for one text: a function of the seed, the prompt and the position, without state.

    Counter-based (Philox 4x64, Salmon et al. 2011), so `at` can be asked in any order and two
    prompts with one seed draw independently. Raises InputError unless 0 ≤ seed < 2**64.
    """

    def __init__(self, seed: int, prompt: Sequence[int] = ()) -> None:
        try:
            self.seed = whole(seed)
        except TypeError:
            raise InputError(f"seed is {seed!r}; give an integer") from None
        if not 0 <= self.seed < 1 << 64:
            raise InputError(f"seed is {self.seed}; give an integer from 0 to 2**64 - 1")
        text = np.asarray([self.seed, *prompt], dtype="<u8").tobytes()
        self._key = int.from_bytes(hashlib.sha256(text).digest()[:16], "little")

    def at(self, position: int, lane: int = 0) -> np.random.Generator:
        """The noise that belongs to the new token at `position` (≥ 0) and what follows it.

        lane  independent noises for one position: 0 for tokens, others for coins
        """
        counter = (position << 64) | (lane << 192)
        return np.random.Generator(np.random.Philox(key=self._key, counter=counter))


@dataclass(frozen=True)
class Sampling:
    """How logits become a law, the same for the target and for whoever guesses it.

    temperature  ≥ 0; below `GREEDY_BELOW` all mass is on the largest logit
    top_k        only so many of the likeliest tokens keep their mass; 0 keeps all
    top_p        of those, only the likeliest that together hold this share; 1 keeps all

    Among equal logits the lowest ids come first. Raises InputError for an unusable value.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not (is_number(self.temperature) and 0 <= self.temperature < WARMEST):
            raise InputError(f"temperature is {self.temperature!r}; give a finite number ≥ 0")
        if not (type(self.top_k) is int and self.top_k >= 0):
            raise InputError(f"top_k is {self.top_k!r}; give a whole number ≥ 0 (0: all tokens)")
        if not (is_number(self.top_p) and 0 < self.top_p <= 1):
            raise InputError(f"top_p is {self.top_p!r}; give a number above 0, at most 1")

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature < GREEDY_BELOW

    def law(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Laws over the last axis, in fp32 after subtracting the maximum."""
        if self.greedy:
            table = np.zeros_like(logits)
            np.put_along_axis(table, logits.argmax(-1, keepdims=True), 1.0, axis=-1)
            return table
        mass: NDArray[np.float32] = np.exp(
            (logits - logits.max(-1, keepdims=True)) / np.float32(self.temperature)
        )
        mass /= mass.sum(-1, keepdims=True)
        if self.top_k or self.top_p < 1:
            mass *= self._kept(mass)
            mass /= mass.sum(-1, keepdims=True)
        return mass

    def _kept(self, mass: NDArray[np.float32]) -> NDArray[np.bool_]:
        order = np.argsort(-mass, axis=-1, kind="stable")
        ranked = np.take_along_axis(mass, order, axis=-1).astype(np.float64)
        if self.top_k:
            ranked[..., self.top_k :] = 0.0
        before = np.cumsum(ranked, axis=-1) - ranked
        keep = (ranked > 0) & (before < self.top_p * ranked.sum(-1, keepdims=True))
        kept = np.zeros(mass.shape, dtype=np.bool_)
        np.put_along_axis(kept, order, keep, axis=-1)
        return kept


def whole(value: Any) -> int:
    """`operator.index`, for which truth values are integers; raises TypeError for them too."""
    if isinstance(value, bool):
        raise TypeError("a truth value is not a number")
    return operator.index(value)


def is_number(value: object) -> bool:
    """Whether `value` is a real number, and no truth value."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def race(table: NDArray[Any], noise: np.random.Generator) -> NDArray[np.float64]:
    """Scores whose order is a draw without replacement from each law in `table` (…, vocabulary).

    Token i arrives at time E_i / p_i with E_i exponential; the score is its speed p_i / E_i.
    The first arrival has law p, the next is drawn from what is left, and so on: the Gumbel-max
    trick, since log(p / E) = log p + Gumbel. A score of 0 never arrives. The times are float64:
    in fp32 a time rounds to 0 once in some 10^7 draws, which is often among 49,152 tokens.
    """
    scores: NDArray[np.float64] = table / arrivals(noise, table.shape)
    return scores


def arrivals(noise: np.random.Generator, shape: int | tuple[int, ...]) -> NDArray[np.float64]:
    """E of a race: exponential times of rate 1, none of them 0."""
    return np.maximum(noise.standard_exponential(shape), np.finfo(np.float64).tiny)


def draw(table: NDArray[Any], noise: np.random.Generator) -> int:
    """One token from one law (vocabulary,)."""
    return int(race(table, noise).argmax())


def candidates(
    table: NDArray[Any],
    width: int,
    noise: np.random.Generator | None,
    replacement: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """`width` candidates from each row of `table`, in drawing order.

    table        (rows, vocabulary): laws; or, where noise is None, scores to be greedy on, −inf
                 for what cannot be drawn
    noise        None takes the best scores instead of drawing
    replacement  draw independently (greedy: the best score, `width` times)

    Returns token ids (rows, width) and which of them were drawn: where a law gives fewer than
    `width` tokens any mass, the rest of its row was not.
    """
    rows, vocabulary = table.shape
    if replacement:
        picks = [(table if noise is None else race(table, noise)).argmax(-1) for _ in range(width)]
        return np.stack(picks, axis=-1), np.ones((rows, width), dtype=np.bool_)
    scores = table if noise is None else race(table, noise)
    ids = np.zeros((rows, width), dtype=np.int64)
    drawn = np.zeros((rows, width), dtype=np.bool_)
    count = min(width, vocabulary)
    best = torch.from_numpy(scores).topk(count, dim=-1)
    ids[:, :count] = best.indices.numpy()
    drawn[:, :count] = best.values.numpy() > (-np.inf if noise is None else 0.0)
    if noise is None:
        _lowest_first(ids[:, :count], best.values.numpy(), scores)
    return ids, drawn


def _lowest_first(ids: NDArray[np.int64], values: NDArray[Any], scores: NDArray[Any]) -> None:
    """Order equal candidates by id, in place, and let the row's first best be the very first."""
    order = np.lexsort((ids, -values), axis=-1)
    ids[:] = np.take_along_axis(ids, order, axis=-1)
    first = scores.argmax(-1)
    for row in np.flatnonzero(ids[:, 0] != first):
        place = np.flatnonzero(ids[row] == first[row])
        end = place[0] if len(place) else ids.shape[1] - 1
        ids[row, 1 : end + 1] = ids[row, :end].copy()
        ids[row, 0] = first[row]
