"""Guesses from where nothing is computed or little: copies, the target's leftovers, the draft.

Every guess names its kinds, so that what came true of it teaches the next round.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from .calibration import Calibration
from .copy_index import CopyIndex, Tail
from .growth import DraftToken, Kind

CROWD = 64
"""A context that more tokens than this have followed says nothing."""

_MARGINS = (0.25, 0.5, 1.0, 2.0, 3.0, 4.5, 7.0)


def copied(
    copies: CopyIndex,
    tail: Tail,
    calibration: Calibration[Kind],
    times: NDArray[Any] | None,
    width: int,
) -> list[DraftToken]:
    """What followed the end of the text before, from the longest context to shorter ones.

    times  E of the common noise at this place; None where the target is greedy
    width  guesses to return, at most

    A longer context speaks first; a shorter one shares the chance that is left.
    """
    guesses: list[DraftToken] = []
    known: set[int] = set()
    left, order = 1.0, None
    while left > 0.05 and len(guesses) < width:
        found = copies.after(tail, order)
        if found is None or len(found[1].counts) > CROWD:
            break
        order, seen = found
        fresh = [token for token in seen.counts if token not in known]
        rated = []
        for token in fresh:
            kind = ("copy", order, certainty(seen.counts[token], seen.total))
            rate = calibration.rate(kind)
            rated.append((lucky(rate, token, times) if len(fresh) > 1 else rate, token, kind))
        rated.sort(key=lambda entry: (-entry[0], entry[1]))
        total = max(1.0, sum(entry[0] for entry in rated))
        for rate, token, kind in rated[: width - len(guesses)]:
            guesses.append(DraftToken(token, max(1e-6, left * rate / total), "copy", [kind]))
            known.add(token)
        left -= left * sum(entry[0] for entry in rated) / total
    return guesses


def certainty(count: int, total: int) -> int:
    """How clearly a context spoke: 0 always this token, 1 once, then ever smaller shares."""
    if count == total:
        return 0 if count > 1 else 1
    share = count / total
    return 2 if share >= 0.5 else 3 if share >= 0.2 else 4 if share >= 0.08 else 5


def lucky(rate: float, token: int, times: NDArray[Any] | None) -> float:
    """The chance that the race goes to `token`, given its own noise.

    With probability p it wins on average; its rivals together arrive after an exponential
    time of rate 1 − p, so, given its time E, with probability exp(−E (1 − p) / p).
    """
    if times is None:
        return rate
    return math.exp(-float(times[token]) * (1.0 - rate) / rate)


def ranked(
    source: str,
    scores: Sequence[tuple[int, float]],
    calibration: Calibration[Kind],
    trust: int = 0,
) -> list[DraftToken]:
    """Guesses from a model's own ranking, by how far each stands from its rival.

    scores  token ids with logits on which the common noise has been laid, best first
    trust   a small number that tells apart rankings of different worth

    The best is judged by its lead on the second, the others by their distance from the best.
    """
    guesses = []
    for rank, (token, score) in enumerate(scores):
        if rank == 0:
            gap = score - scores[1][1] if len(scores) > 1 else math.inf
        else:
            gap = scores[0][1] - score
        kind = (source, 2 * trust + min(rank, 1), margin(gap))
        guesses.append(DraftToken(token, calibration.rate(kind), source, [kind]))
    return guesses


def margin(gap: float) -> int:
    """Which of a few bins a difference of logits falls into."""
    return bisect_right(_MARGINS, gap)


def prior(kind: Kind) -> float:
    """How often guesses of a kind come true, before this text has shown anything.

    Round figures, after what SmolLM2-135M made of recommender prompts and of free questions.
    """
    source, first, second = kind
    if source == "copy":
        if second == 0:
            return 1.0 - 0.4 / first
        if second == 1:
            return min(0.8, 0.2 * first)
        return (0.1 + 0.05 * min(first, 4), 0.1, 0.06, 0.04)[second - 2]
    lead = (0.1, *_MARGINS)[second]
    known, best = divmod(first, 2)
    if best == 1:
        return 0.01 + 0.25 * math.exp(-lead / 1.3)
    if source == "draft":
        return 0.45 + 0.5 * (1.0 - math.exp(-lead / 2.0))
    return (0.1 + 0.5 * (1.0 - math.exp(-lead / 3.0)), 0.35 + 0.6 * (1.0 - math.exp(-lead / 2.0)))[
        known
    ]


def family(kind: Kind) -> tuple[str, int]:
    """What a kind does well or badly with: its source, and of the first or of later choice."""
    source, first, second = kind
    later = second > 1 if source == "copy" else first % 2 == 1
    return source, int(later)
