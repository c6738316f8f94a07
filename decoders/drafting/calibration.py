"""Acceptance rates by kind of draft token: a prior, and what this text has shown so far."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Kind = TypeVar("Kind", bound=Hashable)

MAX_RATE = 0.995
"""No estimated rate is higher: what never failed may still fail."""


class Calibration(Generic[Kind]):
    """Posterior means of Bernoulli rates under Beta priors, one for each kind of draft token.

    Kinds come in families: where a family does worse in this text than its priors expect, the
    rates of its rarely observed kinds are lowered in proportion.

    prior     the rate expected of a kind before it was observed, in (0, 1)
    family    the family of a kind
    strength  how many observations the prior is worth, > 0

    Each text has one of its own.
    """

    def __init__(
        self,
        prior: Callable[[Kind], float],
        family: Callable[[Kind], Hashable],
        strength: float = 6.0,
    ) -> None:
        self.prior = prior
        self.family = family
        self.strength = strength
        self._counts: dict[Kind, list[float]] = {}
        self._rates: dict[Kind, float] = {}
        self._families: dict[Hashable, list[float]] = {}

    def rate(self, kind: Kind) -> float:
        """The expected acceptance rate of draft tokens of this kind."""
        rate = self._rates.get(kind)
        if rate is None:
            expected, hits, trials = self._observed(kind)
            family = self._families.get(self.family(kind))
            if family is not None:
                expected *= family[0] / family[1]
            rate = min(MAX_RATE, (expected * self.strength + hits) / (self.strength + trials))
            self._rates[kind] = rate
        return rate

    def learn(self, kind: Kind, hit: bool) -> None:
        """Record whether one draft token of this kind was the target's token."""
        self._rates.clear()
        counts = self._observed(kind)
        counts[1] += hit
        counts[2] += 1.0
        family = self._families.setdefault(self.family(kind), [self.strength, self.strength])
        family[0] += hit
        family[1] += counts[0]

    def _observed(self, kind: Kind) -> list[float]:
        """Prior, hits and trials of a kind."""
        counts = self._counts.get(kind)
        if counts is None:
            counts = self._counts[kind] = [self.prior(kind), 0.0, 0.0]
        return counts
