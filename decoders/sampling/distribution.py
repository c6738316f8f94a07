"""From logits to probabilities to tokens, on the device of the logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...errors import InputError
from ..execution.cuda_graphs import cuda_graphed
from ..options import is_number
from .noise import Noise

GREEDY_BELOW = 1e-4
"""Temperatures below this count as zero: all mass on the most likely token."""

MAX_TEMPERATURE = float(np.finfo(np.float32).max)
"""Largest temperature that fp32 can hold."""


@dataclass(frozen=True)
class Sampling:
    """How logits become probabilities, alike for the target and for drafts.

    temperature  ≥ 0; below `GREEDY_BELOW` all mass is on the largest logit
    top_k        number of most likely tokens that keep their mass; 0 keeps all
    top_p        of those, the most likely that together hold this share are kept; 1 keeps all

    Among equal logits the lowest ids come first. Raises InputError for an unusable value.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not (is_number(self.temperature) and 0 <= self.temperature < MAX_TEMPERATURE):
            raise InputError(f"temperature is {self.temperature!r}; give a finite number ≥ 0")
        if not (type(self.top_k) is int and self.top_k >= 0):
            raise InputError(f"top_k is {self.top_k!r}; give a whole number ≥ 0 (0: all tokens)")
        if not (is_number(self.top_p) and 0 < self.top_p <= 1):
            raise InputError(f"top_p is {self.top_p!r}; give a number above 0, at most 1")

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature < GREEDY_BELOW

    def probs(self, logits: Tensor) -> Tensor:
        """Probabilities over the last axis, in fp32 after subtracting the maximum."""
        if self.greedy:
            return torch.zeros_like(logits).scatter_(-1, argmax(logits)[..., None], 1.0)
        mass = logits - logits.amax(-1, keepdim=True)
        mass = mass.div_(float(self.temperature)).exp_()
        mass /= mass.sum(-1, keepdim=True)
        if self.top_k or self.top_p < 1:
            mass *= self._kept(mass)
            mass /= mass.sum(-1, keepdim=True)
        return mass

    def draw(self, probs: Tensor, noise: Noise) -> Tensor:
        """A token from each distribution (…, vocabulary), when greedy the most likely: (…,)."""
        return argmax(probs) if self.greedy else draw(probs, noise)

    def sample(self, logits: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Probabilities (…, vocabulary) and a token from each (…,)."""
        if self.greedy:
            return self.probs(logits), argmax(logits)
        start = noise.take(logits.numel())
        return sampled(logits, noise.key, sampling=self, start=start)

    def _kept(self, mass: Tensor) -> Tensor:
        ranked, order = mass.sort(dim=-1, descending=True, stable=True)
        ranked = ranked.double()
        if self.top_k:
            ranked[..., self.top_k :] = 0.0
        before = ranked.cumsum(-1) - ranked
        keep = (ranked > 0) & (before < self.top_p * ranked.sum(-1, keepdim=True))
        return torch.zeros_like(keep).scatter_(-1, order, keep)


def argmax(scores: Tensor) -> Tensor:
    """Ids of the largest scores over the last axis, the lowest of equals: (…,).

    On a CPU NumPy finds them twenty times as fast as torch.
    """
    if scores.device.type == "cpu":
        return torch.from_numpy(np.asarray(scores.numpy().argmax(-1)))
    return scores.argmax(-1)


def race(probs: Tensor, noise: Noise) -> Tensor:
    """Scores p / E, whose order is a draw without replacement from each distribution in `probs`.

    In an exponential race token i arrives at time E_i / p_i, with E_i exponential; its score is
    the inverse, p_i / E_i. The first arrival is distributed as p, the next as what is left, and so
    on: the Gumbel-max trick, since log(p / E) = log p + Gumbel. A score of 0 never arrives. E is
    float64: in fp32 it rounds to 0 once in some 10^7 draws, which is often among 49,152 tokens.

    probs  (…, vocabulary); the scores have its shape
    """
    return probs / noise.exponentials(*probs.shape)


def draw(probs: Tensor, noise: Noise) -> Tensor:
    """A token from each distribution (…, vocabulary): (…,)."""
    return argmax(race(probs, noise))


@cuda_graphed
def sampled(
    logits: Tensor, key: Tensor, *, sampling: Sampling, start: int = 0
) -> tuple[Tensor, Tensor]:
    """Probabilities (…, vocabulary) and a token from each (…,), by the noise of `key`."""
    probs = sampling.probs(logits)
    return probs, draw(probs, Noise(key, start))


def candidates(
    table: Tensor, width: int, noise: Noise | None, replacement: bool = False
) -> tuple[Tensor, Tensor]:
    """`width` candidates from each row of `table`, in drawing order.

    table        (rows, vocabulary): probabilities; or, where noise is None, scores of which the
                 best are taken, −inf for tokens that cannot be drawn
    noise        None takes the best scores instead of drawing
    replacement  draw independently (greedy: the best score, `width` times)

    Returns token ids (rows, width) and which of them were drawn: where a distribution gives fewer
    than `width` tokens any mass, the rest of its row is padding.
    """
    if replacement:
        picks = [argmax(table if noise is None else race(table, noise)) for _ in range(width)]
        ids = torch.stack(picks, dim=-1)
        return ids, torch.ones_like(ids, dtype=torch.bool)
    scores = table if noise is None else race(table, noise)
    values, ids = scores.topk(min(width, table.shape[-1]), dim=-1)
    drawn = values > (-torch.inf if noise is None else 0.0)
    if noise is None:
        ids = _lowest_first(values, ids, argmax(scores)[:, None])
    missing = (0, width - ids.shape[-1])
    return functional.pad(ids, missing), functional.pad(drawn, missing)


def _lowest_first(values: Tensor, ids: Tensor, first: Tensor) -> Tensor:
    """Order candidates by score, equal ones by id, with the row's first best before all others.

    `topk` may leave that one out where more tokens tie than it takes.
    """
    ids, order = ids.sort(dim=-1)
    ids = ids.gather(-1, values.gather(-1, order).argsort(dim=-1, descending=True, stable=True))
    rest = ids.gather(-1, (ids == first).byte().argsort(dim=-1, stable=True))
    return torch.cat((first, rest[:, :-1]), dim=-1)
