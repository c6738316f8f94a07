"""Deciding which guess stands, so that what is written has the target's own law.

Pure functions on probability tables: p is the target's law at a place in the text, q the law
that the draft drew its candidates from, both (vocabulary,). Residuals are float64. Every rule
returns the index of the candidate that stands and the law that it was tested under, or `NONE`
and the law of the token to write instead.

What keeps them exact: whether a candidate is tested may depend only on what was known before it
was drawn, and siblings are tested in the order in which they were drawn. Sorting them, leaving
one out for its small q or skipping a repeated one changes the law of the output; so does picking
a sibling by what was drawn below it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sampling import draw

Law = NDArray[np.float64]

NONE = -1
"""Stands where the index of a candidate would stand: all were rejected."""


def recursive_rejection(
    p: NDArray[Any],
    q: NDArray[Any],
    candidates: Sequence[int],
    accepts: Callable[[float], bool],
    *,
    replacement: bool = False,
) -> tuple[int, Law]:
    """Test siblings in drawing order (Yang et al. 2024, arXiv 2401.06706, algorithm 2).

    Candidate x is accepted with probability min(1, p(x)/q(x)). A rejection leaves
    p ← norm(max(p − q, 0)) to the siblings after it, and for candidates drawn without
    replacement q(x) ← 0, renormalised.

    candidates   token ids in the order in which they were drawn from q
    accepts      the coin: given a probability, whether it came up
    replacement  whether the candidates were drawn independently
    """
    p = np.asarray(p, dtype=np.float64)
    q = np.asarray(q, dtype=np.float64)
    for index, x in enumerate(candidates):
        if accepts(acceptance(p, q, x)):
            return index, p
        p = residual(p, q)
        if not replacement:
            q = without(q, x)
    return NONE, p


def point_mass(
    p: NDArray[Any], candidates: Sequence[int], accepts: Callable[[float], bool]
) -> tuple[int, Law]:
    """Test candidates that nobody drew, such as copies of the prompt or a top-k, one by one.

    Candidate x is accepted with probability p(x), else p(x) ← 0, renormalised: recursive
    rejection with all of q on x. Each x stands with p(x) in whatever order they are tested, so
    the set and its order may depend on anything but this place's own coins.

    accepts  the coin: given a probability, whether it came up
    """
    p = np.asarray(p, dtype=np.float64)
    for index, x in enumerate(candidates):
        if accepts(min(1.0, float(p[x]))):
            return index, p
        p = without(p, x)
    return NONE, p


def naive(
    p: NDArray[Any], candidates: Sequence[int], draws: Callable[[Law], int]
) -> tuple[int, Law]:
    """Draw y from p; the first candidate that is y stands, else y is written.

    Exact whatever the candidates are and however they came about, for they have no say in y.
    The authors of arXiv 2401.06706 call it multi-candidate naive sampling.

    draws  a token of a given law, independent of the candidates
    """
    p = np.asarray(p, dtype=np.float64)
    return _found(p, candidates, draws(p))


def coupled(
    p: NDArray[Any], candidates: Sequence[int], noise: np.random.Generator
) -> tuple[int, Law]:
    """`naive` with y = argmax(log p + Gumbel), from the noise that a plain draw would use.

    What is written is then that draw's very token, with or without candidates; candidates made
    with the same noise from a law near p are likely to hold it (Gumbel-max list sampling,
    arXiv 2506.05632).

    noise  as in `sampling.draw`: that of this place in the text, from its beginning
    """
    return _found(np.asarray(p, dtype=np.float64), candidates, draw(p, noise))


def acceptance(p: Law, q: Law, x: int) -> float:
    """min(1, p(x)/q(x)); 0 where q cannot draw x."""
    return min(1.0, float(p[x] / q[x])) if q[x] > 0 else 0.0


def residual(p: Law, q: Law) -> Law:
    """What of p the draws from q did not cover: norm(max(p − q, 0)).

    Where nothing is left, p ≤ q everywhere, so p = q and no draw is ever rejected; p stands.
    """
    left = np.maximum(p - q, 0.0)
    mass = left.sum()
    return left / mass if mass > 0 else p


def without(law: Law, x: int) -> Law:
    """A law given that x is not drawn; all zero where x was its whole support."""
    rest = law.copy()
    rest[x] = 0.0
    mass = rest.sum()
    return rest / mass if mass > 0 else rest


def _found(p: Law, candidates: Sequence[int], y: int) -> tuple[int, Law]:
    for index, x in enumerate(candidates):
        if x == y:
            return index, p
    certain = np.zeros_like(p)
    certain[y] = 1.0
    return NONE, certain
