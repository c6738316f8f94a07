"""Satiation: a consumed topic loses utility and recovers with time."""

from __future__ import annotations

from dataclasses import dataclass

from ...validation import COST, HALF_LIFE, check
from ..numerics import elementary
from ..numerics.arrays import Floats, Ints
from ..numerics.grid import on_grid


@dataclass(frozen=True)
class Satiation:
    """Strength and duration of satiation.

    Leqi, Kılınç-Karzan, Lipton & Montgomery 2021, "Rebounding Bandits for Modeling Satiation
    Effects": a topic's satiation is its past consumption, geometrically discounted, and lowers its
    utility in proportion. Theirs steps once per pull; here it recovers with days and grows by
    the share of the topic in the item, for each user separately.

    half_life_days  from 0.001 to 10⁶, days until half of a satiation is gone, ln ½ / ln γ
    cost            λ in [0, 100], utility lost per unit of satiation
    """

    half_life_days: float
    cost: float

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, half_life_days=HALF_LIFE, cost=COST)


def satiate(satiation: Floats, share: Floats) -> Floats:
    """s + share, (B, T): satiation after consuming an item with these shares of the topics.

    share  (B, T) in [0, 1], rows of 0 where nothing was consumed
    """
    return on_grid(satiation + share)


def recover(params: Satiation, satiation: Floats, days: Ints) -> Floats:
    """γ^Δ s, (B, T), after each user's days Δ ≥ 0 (B) without consumption.

    A topic consumed every Δ days converges to 1 / (1 − γ^Δ) right after, and γ^Δ / (1 − γ^Δ)
    right before it is consumed.
    """
    left = elementary.exp(-elementary.LN2 / params.half_life_days * days)
    return on_grid(satiation * left[:, None])


def satiation_utility(params: Satiation, satiation: Floats) -> Floats:
    """−λ s, (B, T): what satiation adds to the utility of each topic."""
    return on_grid(-params.cost * satiation)
