"""Return and churn: satisfied users who trust come back sooner, others perhaps never."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...validation import COUNT, SHARE, check
from ..numerics import philox
from ..numerics.compiled import compiled
from ..numerics.philox import Purpose, Word

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

REWARD_WEIGHT, TRUST_WEIGHT = 0.1, 0.4
LEAST, MOST = 0.001, 0.999


@dataclass(frozen=True)
class Retention:
    """When users return.

    Ours, in the form of KuaiSim's daily return probability (Zhao et al. 2023), a user's own bias
    plus weighted feedback, clipped. KuaiSim's decision to leave ignores the responses to what
    was shown; here absence is the consequence of what the agent did, and of nothing else.

    base          in [0, 1], mean over users of the daily return probability without reward or trust
    horizon_days  at least 1, calendar days that a life is scored over; absent days score 0
    churn_days    at least 1, days of absence in a row after which a user is gone for good
    """

    base: float
    horizon_days: int
    churn_days: int = 14

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(self, base=SHARE, horizon_days=COUNT, churn_days=COUNT)


def return_hazard(
    params: Retention, seed: ArrayLike, user: Integers, mean_reward: Floats, trust: Floats
) -> Floats:
    """(B) probability of returning on a day: clip(b_n + 0.1 r̄ + 0.4 τ, .001, .999).

    b_n is keyed by user, uniform between half and one and a half times `base`.
    """
    bias = params.base * (0.5 + philox.uniform(seed, user, 0, Purpose.RETURN, 1))
    return np.clip(bias + REWARD_WEIGHT * mean_reward + TRUST_WEIGHT * trust, LEAST, MOST)


def days_away(
    params: Retention,
    seed: ArrayLike,
    user: Integers,
    day: Integers,
    mean_reward: Floats,
    trust: Floats,
) -> Integers:
    """Days (B) from the session on `day` (B) to the user's return, 0 where the user churned.

    The first k of 1 … churn_days with U(seed, user, day + k) < hazard, a geometric law cut off:
    P(k) = h (1 − h)^{k−1}, P(churn) = (1 − h)^{churn_days}. Draws belong to calendar days, so that
    lives which differ in what was shown still share each day's luck.

    mean_reward  r̄ (B) of the session just ended, in [0, 1]; trust: τ (B) in [0, 1]
    """
    hazard = return_hazard(params, seed, user, mean_reward, trust)
    seeds = np.broadcast_to(philox.words(seed), hazard.shape)
    away = np.zeros_like(day)
    _wait(params.churn_days, np.uint64(Purpose.RETURN), seeds, user, day, hazard, away)
    return away


@compiled
def _wait(
    most: int,
    purpose: Word,
    seed: NDArray[np.uint64],
    user: Integers,
    day: Integers,
    hazard: Floats,
    away: Integers,
) -> None:
    room = np.empty((4, 1), np.uint64)
    for row in range(len(day)):
        for days in range(1, most + 1):
            key, who, when = seed[row], np.uint64(user[row]), np.uint64(day[row] + days)
            if philox.pair_of(key, who, when, purpose, np.uint64(0), room)[0] < hazard[row]:
                away[row] = days
                break
