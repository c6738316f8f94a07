"""Interest evolution: every consumed item raises or lowers the interest in its topics.

RecSim (Ie et al. 2019, arXiv 1909.04847; environment `interest_evolution`). As published:
interests I in [−1, 1] per topic, drawn uniformly; the step y (1 − |I|) (1 − I) with y = 0.3, by
which entrenched interests move less than open ones; its direction, up with probability
(I + 1) / 2 and down otherwise; and I itself as the topic's score, which RecSim's logit choice
model takes as the utility.

Different here: our choice model replaces the proportional one (scores less −1, and a mass of
1 less −1 for no choice); sessions, patience and return replace the time budget of 200 minutes (a
video of 4 minutes costs 4 and gives back 0.9 / 3.4 · 4 · quality, no choice costs 0.5).
RecSim draws directions and choices from NumPy's global generator, whatever the seed; here draws
are keyed by user and turn. RecSim's items have one topic each; an item with shares in several moves
each interest by its share of the step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...validation import COST, SHARE, check
from ..numerics import philox
from ..numerics.arrays import Floats, Ints, Words
from ..numerics.grid import on_grid
from ..numerics.philox import Purpose


@dataclass(frozen=True)
class InterestEvolution:
    """Speed of the interests and their weight in the utility.

    step    y in [0, 1]: the largest share of the way to 1 that one item moves a topic's interest
    weight  in [0, 100], utility of an item all of whose topics have interest 1
    """

    step: float = 0.3
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, step=SHARE, weight=COST)


def interest_draws(seed: int | Words, user: Ints, topics: int) -> Floats:
    """Uniform draws (B, T) in (0, 1) for the first interests of users (B)."""
    return philox.uniform(seed, user, 0, Purpose.INTEREST, np.arange(topics)[:, None]).T


def begin_interests(draws: Floats) -> Floats:
    """First interests (B, T), uniform in [−1, 1] and on the grid, from uniform draws (B, T)."""
    return on_grid(2.0 * draws - 1.0)


def direction_draws(seed: int | Words, user: Ints, turn: Ints) -> Floats:
    """Uniform draws (B) in (0, 1) that decide the direction of the step after a turn (0, 1, …)."""
    return philox.uniform(seed, user, turn + 1, Purpose.INTEREST)


def update_interests(
    params: InterestEvolution, interests: Floats, share: Floats, draws: Floats
) -> Floats:
    """Interests (B, T) after a turn.

    I_t ← clip(I_t ± s_t y (1 − |I_t|) (1 − I_t), −1, 1), all topics up with probability
    Σ_t s_t (I_t + 1) / 2, else all down.

    share  s (B, T): shares of the topics in the consumed item, on the grid, each row summing to 1;
           a row of 0 where nothing was consumed
    draws  (B) uniform in (0, 1); up where the draw is below the probability
    """
    upward = (share * (interests + 1.0)).sum(axis=1) / 2.0
    sign = np.where(draws < upward, 1.0, -1.0)[:, None]
    change = share * (params.step * (1.0 - np.abs(interests))) * (1.0 - interests)
    return on_grid(np.clip(interests + sign * change, -1.0, 1.0))


def interest_utility(params: InterestEvolution, interests: Floats) -> Floats:
    """Utility (B, T) that each topic adds to an item that is wholly of that topic."""
    return on_grid(params.weight * interests)
