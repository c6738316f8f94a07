"""Candidates from copies of the text and from rankings, each with its estimated probability.

Every candidate names the kinds of evidence for it, so that its outcome teaches the next round.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from .calibration import Calibration
from .copy_index import CopyIndex, Tail
from .tree_builder import Candidate, Kind

MAX_FOLLOWERS = 64
"""A context that more tokens than this have followed predicts nothing."""

_MARGINS = (0.25, 0.5, 1.0, 2.0, 3.0, 4.5, 7.0)


def copied(
    copies: CopyIndex,
    tail: Tail,
    calibration: Calibration[Kind],
    exponentials: NDArray[Any] | None,
    width: int,
) -> list[Candidate]:
    """What followed the end of the text before, from the longest context to shorter ones.

    exponentials  E of the common noise at this position; None where the target is greedy
    width         number of candidates to return, at most

    Longer contexts come first; a shorter one shares the probability that is left.
    """
    candidates: list[Candidate] = []
    known: set[int] = set()
    left, order = 1.0, None
    while left > 0.05 and len(candidates) < width:
        found = copies.after(tail, order)
        if found is None or len(found[1].counts) > MAX_FOLLOWERS:
            break
        order, followers = found
        fresh = [token for token in followers.counts if token not in known]
        rated = []
        for token in fresh:
            kind = ("copy", order, certainty(followers.counts[token], followers.total))
            rate = calibration.rate(kind)
            if len(fresh) > 1:
                rate = win_prob(rate, token, exponentials)
            rated.append((rate, token, kind))
        rated.sort(key=lambda entry: (-entry[0], entry[1]))
        total = max(1.0, sum(entry[0] for entry in rated))
        for rate, token, kind in rated[: width - len(candidates)]:
            candidates.append(Candidate(token, max(1e-6, left * rate / total), "copy", [kind]))
            known.add(token)
        left -= left * sum(entry[0] for entry in rated) / total
    return candidates


def certainty(count: int, total: int) -> int:
    """Grade how clearly a context predicts: 0 always this token, 1 once, then smaller shares."""
    if count == total:
        return 0 if count > 1 else 1
    share = count / total
    return 2 if share >= 0.5 else 3 if share >= 0.2 else 4 if share >= 0.08 else 5


def win_prob(rate: float, token: int, exponentials: NDArray[Any] | None) -> float:
    """Probability that `token` wins the exponential race, given its own noise.

    With rate p it wins with probability p on average; its rivals together arrive after an
    exponential time of rate 1 − p, so given its E it wins with probability exp(−E (1 − p) / p).
    """
    if exponentials is None:
        return rate
    return math.exp(-float(exponentials[token]) * (1.0 - rate) / rate)


def ranked(
    source: str,
    scores: Sequence[tuple[int, float]],
    calibration: Calibration[Kind],
    grade: int = 0,
) -> list[Candidate]:
    """Candidates from a model's ranking, rated by how far each stands from its rival.

    scores  token ids with logits to which the common noise was added, best first
    grade   a small number that tells apart rankings of different worth

    The best is rated by its lead over the second, the others by their distance from the best.
    """
    candidates = []
    for rank, (token, score) in enumerate(scores):
        if rank == 0:
            gap = score - scores[1][1] if len(scores) > 1 else math.inf
        else:
            gap = scores[0][1] - score
        kind = (source, 2 * grade + min(rank, 1), margin(gap))
        candidates.append(Candidate(token, calibration.rate(kind), source, [kind]))
    return candidates


def margin(gap: float) -> int:
    """Bin a difference of logits."""
    return bisect_right(_MARGINS, gap)


def prior(kind: Kind) -> float:
    """Expected acceptance rate of a kind before this text has shown anything.

    Round figures, after what SmolLM2-135M wrote after recommender prompts and free questions.
    """
    source, first, second = kind
    if source == "copy":
        if second == 0:
            return 1.0 - 0.4 / first
        if second == 1:
            return min(0.8, 0.2 * first)
        return (0.1 + 0.05 * min(first, 4), 0.1, 0.06, 0.04)[second - 2]
    lead = (0.1, *_MARGINS)[second]
    grade, later_rank = divmod(first, 2)
    if later_rank == 1:
        return 0.01 + 0.25 * math.exp(-lead / 1.3)
    if source == "draft":
        return 0.45 + 0.5 * (1.0 - math.exp(-lead / 2.0))
    return (0.1 + 0.5 * (1.0 - math.exp(-lead / 3.0)), 0.35 + 0.6 * (1.0 - math.exp(-lead / 2.0)))[
        grade
    ]


def family(kind: Kind) -> tuple[str, int]:
    """Kinds that do well or badly together: one source, and its first or its later choices."""
    source, first, second = kind
    later = second > 1 if source == "copy" else first % 2 == 1
    return source, int(later)
