"""Return and churn: satisfied and trusting users return sooner; others may leave for good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...validation import COUNT, SHARE, check
from ..numerics import philox
from ..numerics.arrays import Floats, Ints, Words
from ..numerics.compiled import compiled
from ..numerics.philox import Purpose, Word

REWARD_WEIGHT, TRUST_WEIGHT = 0.1, 0.4
LEAST, MOST = 0.001, 0.999


@dataclass(frozen=True)
class Retention:
    """Parameters of the return.

    Ours, in the form of KuaiSim's daily return probability (Zhao et al. 2023), a user's own bias
    plus weighted feedback, clipped. KuaiSim's decision to leave ignores the responses to
    slates; here absence depends on the rewards and the trust that the agent's slates gave.

    base          in [0, 1], mean over users of the daily return probability without reward or trust
    horizon_days  at least 1, days of an episode; absent days earn 0
    churn_days    at least 1, consecutive days of absence after which a user has churned
    """

    base: float
    horizon_days: int
    churn_days: int = 14

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, base=SHARE, horizon_days=COUNT, churn_days=COUNT)


def return_hazard(
    params: Retention, seed: ArrayLike, user: Ints, mean_reward: Floats, trust: Floats
) -> Floats:
    """(B) probability of returning on a day: clip(b_n + 0.1 r̄ + 0.4 τ, .001, .999).

    b_n is keyed by user, uniform between half and one and a half times `base`.
    """
    bias = params.base * (0.5 + philox.uniform(seed, user, 0, Purpose.RETURN, 1))
    return np.clip(bias + REWARD_WEIGHT * mean_reward + TRUST_WEIGHT * trust, LEAST, MOST)


def days_away(
    params: Retention,
    seed: ArrayLike,
    user: Ints,
    day: Ints,
    mean_reward: Floats,
    trust: Floats,
) -> Ints:
    """Days (B) from the session on `day` (B) to the user's return, 0 where the user churned.

    The first k of 1 … churn_days with U(seed, user, day + k) < hazard, a truncated geometric
    distribution: P(k) = h (1 − h)^{k−1}, P(churn) = (1 − h)^{churn_days}. Draws are keyed by
    day, so that episodes with different slates share common random numbers.

    mean_reward  r̄ (B) of the session just ended, in [0, 1]; trust: τ (B) in [0, 1]
    """
    hazard = return_hazard(params, seed, user, mean_reward, trust)
    seeds = np.broadcast_to(philox.words(seed), hazard.shape)
    away = np.zeros_like(day)
    _first_return(params.churn_days, np.uint64(Purpose.RETURN), seeds, user, day, hazard, away)
    return away


@compiled
def _first_return(
    most: int,
    purpose: Word,
    seed: Words,
    user: Ints,
    day: Ints,
    hazard: Floats,
    away: Ints,
) -> None:
    workspace = np.empty((4, 1), np.uint64)
    for row in range(len(day)):
        for days in range(1, most + 1):
            address = seed[row], np.uint64(user[row]), np.uint64(day[row] + days)
            draw = philox.uniforms_of(*address, purpose, np.uint64(0), workspace)[0]
            if draw < hazard[row]:
                away[row] = days
                break
