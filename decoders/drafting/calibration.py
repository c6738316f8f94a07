"""How often guesses of a kind come true: a prior, and what this text has shown so far."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Kind = TypeVar("Kind", bound=Hashable)

SURE = 0.995
"""No rate is higher: what never failed may still fail."""


class Calibration(Generic[Kind]):
    """Posterior means of Bernoulli rates under Beta priors, one for each kind of guess.

    Kinds come in families: where a family does worse in this text than its priors expect, those
    of its kinds that were seldom seen are expected to do worse in proportion.

    prior     the rate expected of a kind before it was seen, in (0, 1)
    family    what a kind belongs to
    strength  how many observations the prior is worth, > 0

    A new one belongs to one text: what it learned ends with it.
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
        """The expected rate at which guesses of this kind come true."""
        rate = self._rates.get(kind)
        if rate is None:
            believed, hits, trials = self._seen(kind)
            family = self._families.get(self.family(kind))
            if family is not None:
                believed *= family[0] / family[1]
            rate = min(SURE, (believed * self.strength + hits) / (self.strength + trials))
            self._rates[kind] = rate
        return rate

    def learn(self, kind: Kind, hit: bool) -> None:
        """One guess of this kind came true or did not."""
        self._rates.clear()
        counts = self._seen(kind)
        counts[1] += hit
        counts[2] += 1.0
        family = self._families.setdefault(self.family(kind), [self.strength, self.strength])
        family[0] += hit
        family[1] += counts[0]

    def _seen(self, kind: Kind) -> list[float]:
        """Prior, hits and trials of a kind."""
        counts = self._counts.get(kind)
        if counts is None:
            counts = self._counts[kind] = [self.prior(kind), 0.0, 0.0]
        return counts
