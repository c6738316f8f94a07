"""Deciding which guess stands, so that what is written has the target's own law.

Pure functions on probability tables: p is the target's law at a place in the text, q the law
that the draft drew its candidates from, both (vocabulary,). Residuals are float64.

What keeps them exact: whether a candidate is tested may depend only on what was known before it
was drawn, and siblings are tested in the order in which they were drawn. Sorting them, leaving
one out for its small q or skipping a repeated one changes the law of the output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    Returns the index of the accepted candidate and the law it was tested under, or NONE and
    the law of the token to write instead.
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


def without(q: Law, x: int) -> Law:
    """q given that x is not drawn again; all zero where x was its whole support."""
    rest = q.copy()
    rest[x] = 0.0
    mass = rest.sum()
    return rest / mass if mass > 0 else rest
