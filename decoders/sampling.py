"""From logits to laws to tokens, with noise that belongs to a seed and a place in the text."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError

GREEDY_BELOW = 1e-4
"""Temperatures below this are zero: all mass on the most likely token."""


class Stream:
    """Noise for one text: a function of the seed, the prompt and the position, without state.

    Counter-based (Philox 4x64, Salmon et al. 2011), so `at` can be asked in any order and two
    prompts with one seed draw independently. Raises InputError unless 0 ≤ seed < 2**64.
    """

    def __init__(self, seed: int, prompt: Sequence[int] = ()) -> None:
        try:
            self.seed = operator.index(seed)
        except TypeError:
            raise InputError(f"seed is {seed!r}; give an integer") from None
        if not 0 <= self.seed < 1 << 64:
            raise InputError(f"seed is {self.seed}; give an integer from 0 to 2**64 - 1")
        text = np.asarray([self.seed, *prompt], dtype="<u8").tobytes()
        self._key = int.from_bytes(hashlib.sha256(text).digest()[:16], "little")

    def at(self, position: int) -> np.random.Generator:
        """The noise that belongs to the new token at `position` (≥ 0) and what follows it."""
        return np.random.Generator(np.random.Philox(key=self._key, counter=position << 64))


def is_greedy(temperature: float) -> bool:
    """Whether the most likely token is always taken."""
    return temperature < GREEDY_BELOW


def law(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Softmax of logits / temperature over the last axis, in fp32 after subtracting the maximum.

    Greedy: all mass on the largest logit, on the lowest id among equals.
    """
    if is_greedy(temperature):
        table = np.zeros_like(logits)
        np.put_along_axis(table, logits.argmax(-1, keepdims=True), 1.0, axis=-1)
        return table
    mass: NDArray[np.float32] = np.exp(
        (logits - logits.max(-1, keepdims=True)) / np.float32(temperature)
    )
    mass /= mass.sum(-1, keepdims=True)
    return mass


def race(table: NDArray[Any], noise: np.random.Generator) -> NDArray[np.float64]:
    """Scores whose order is a draw without replacement from each law in `table` (…, vocabulary).

    Token i arrives at time E_i / p_i with E_i exponential; the score is its speed p_i / E_i.
    The first arrival has law p, the next is drawn from what is left, and so on: the Gumbel-max
    trick, since log(p / E) = log p + Gumbel. A score of 0 never arrives. The times are float64:
    in fp32 a time rounds to 0 once in some 10^7 draws, which is often among 49,152 tokens.
    """
    times = noise.standard_exponential(table.shape)
    scores: NDArray[np.float64] = table / np.maximum(times, np.finfo(np.float64).tiny)
    return scores


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

    table        (rows, vocabulary): laws; or, where noise is None, any scores to be greedy on
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
    drawn[:, :count] = True if noise is None else best.values.numpy() > 0
    return ids, drawn
