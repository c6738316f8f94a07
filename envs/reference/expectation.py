"""Expected next states: the dynamics with every random effect at its mean.

Drift, exposure and evolving interests are at their mean. Shifts, gifts, avoided topics and days of
return are left out. What is constant for a user over the episode counts as known: the calendar,
the other regime of a recurring taste, the base readiness to return.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...records import NOTHING
from ..dynamics.interest_evolution import update_interests
from ..dynamics.retention import Retention, return_hazard
from ..numerics.arrays import Floats, Ints
from ..numerics.grid import on_grid
from ..simulator.population import Population, with_state_effects
from ..simulator.turn import Response, advance
from ..simulator.world import World


def expected_next(world: World, now: Population, slates: Ints, response: Response) -> Population:
    """The state one turn later, in expectation: `advance` with every random effect at its mean.

    slates, response  given: (B, K) slates, the items chosen (B), and their rewards (B)

    Where users may stay away, states after a session's end are invalid, see `is_predictable`.
    """
    later = advance(mean_dynamics(world), now, slates, response)
    scenario = world.scenario
    if scenario.interest_evolution is not None:
        params, zero = scenario.interest_evolution, np.zeros(len(now))
        share = world.topic_share[np.maximum(response.chosen, 0)]
        share = share * (response.chosen != NOTHING)[:, None]
        upward = (share * (now.topic_interest + 1.0)).sum(axis=1, keepdims=True) / 2.0
        up = update_interests(params, now.topic_interest, share, zero)
        down = update_interests(params, now.topic_interest, share, zero + 1.0)
        mean = on_grid(upward * up + (1.0 - upward) * down)
        later = with_state_effects(world, replace(later, topic_interest=mean))
    return later


@lru_cache(maxsize=8)
def mean_dynamics(world: World) -> World:
    """The world with random effects at their mean, and unpredictable events left out."""
    scenario = replace(world.scenario, shift=None, transient=None, constraint=None, retention=None)
    if scenario.drift is not None:
        scenario = replace(scenario, drift=replace(scenario.drift, dispersion=0.0))
    if scenario.long_term_satisfaction is not None:
        steady = replace(scenario.long_term_satisfaction, innovation=0.0)
        scenario = replace(scenario, long_term_satisfaction=steady)
    return replace(world, scenario=scenario)


def is_predictable(world: World, now: Population, later: Population) -> NDArray[np.bool_]:
    """(B) whether `later` can be planned from: no episode end, no absence of unknown length."""
    same = later.session == now.session
    predictable: NDArray[np.bool_] = ~later.over & (same | (world.scenario.retention is None))
    return predictable


def expected_further_sessions(
    world: World, now: Population, later: Population, response: Response
) -> Floats:
    """(B) expected further sessions at a session's end, if users may stay away; else 0.

    Assumes that the return hazard stays as it is after this session.
    """
    retention = world.scenario.retention
    ended = (later.session != now.session) | later.over
    if retention is None or not ended.any():
        return np.zeros(len(now))
    mean = (now.session_reward + response.reward) / (now.turn + 1)
    hazard = return_hazard(retention, now.seed, now.user, mean, later.trust)
    sessions = expected_sessions(retention, hazard, retention.horizon_days - now.day)
    left = world.scenario.sessions - 1 - now.session
    return np.where(ended, np.minimum(sessions, left), 0.0)


def expected_sessions(params: Retention, hazard: Floats, days: Ints) -> Floats:
    """(B) expected sessions in the `days` (B) after a session, at a return hazard (B).

    E(D) = Σ_{k=1}^{min(churn_days, D−1)} h (1 − h)^{k−1} (1 + E(D − k)), see `days_away`.
    """
    expected = np.zeros((int(days.max()) + 1, len(hazard)))
    for span in range(1, len(expected)):
        chance = hazard
        for k in range(1, min(params.churn_days, span - 1) + 1):
            expected[span] += chance * (1.0 + expected[span - k])
            chance = chance * (1.0 - hazard)
    return expected[days, np.arange(len(hazard))]
