"""Simulated columns for what a source lacks: keyed draws, the same on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...numerics import philox
from ...numerics.grid import on_grid
from ...numerics.philox import Purpose
from ..latents import INTERESTS
from .latent_space import Blocks, Floats, normalized_weights

NUM_USERS = 1000
SPONSORED_SHARE = 0.1
WEIGHT_RATIOS = (1.0, 0.6, 0.36)
COUNT_UNITS = 2.0**28


def uniform_column(seed: int, stream: int, n: int) -> Floats:
    """(n) uniform draws; each stream under a seed is one column."""
    return philox.uniform(seed, stream, 0, Purpose.CATALOG, np.arange(n))


def normal_rows(seed: int, stream: int, n: int, width: int) -> Floats:
    """(n, width) standard normal draws on the grid."""
    return on_grid(philox.normals(seed, stream, np.arange(n), Purpose.CATALOG, width))


def interests(seed: int, widths: tuple[int, int, int]) -> Blocks:
    """Text, picture and feedback parts (NUM_USERS, M, k) of every interest: independent normals."""
    text, image, feedback = (
        normal_rows(seed, stream, NUM_USERS * INTERESTS, width).reshape(NUM_USERS, INTERESTS, width)
        for stream, width in zip((4, 5, 6), widths, strict=True)
    )
    return text, image, feedback


def interest_weights(seed: int) -> Floats:
    """(NUM_USERS, M) in proportion to 1, 0.6 and 0.36, each times a draw from [0.7, 1.3]."""
    user, interest = np.arange(NUM_USERS)[:, None], np.arange(INTERESTS)
    draws = philox.uniform(seed, 15, user, Purpose.CATALOG, interest)
    return normalized_weights(np.array(WEIGHT_RATIOS) * (0.7 + 0.6 * draws))


def ages(seed: int, users: int) -> NDArray[np.int64]:
    """One user in eight is a minor of 7 to 17, the others are 18 to 77."""
    draw = uniform_column(seed, 13, users)
    minor = draw < 0.125
    return np.where(minor, 7 + draw / 0.125 * 11, 18 + (draw - 0.125) / 0.875 * 60).astype(np.int64)


def interaction_counts(seed: int, n: int) -> Floats:
    """(n) how often each item was chosen, Zipf-like: 1 / (1 + U n), in units that sum exactly."""
    return np.rint(COUNT_UNITS / (1 + uniform_column(seed, 7, n) * n)) / COUNT_UNITS


def maturity(seed: int, n: int) -> NDArray[np.int64]:
    """(n) minimum ages: 0 for 45 % of the items, 13 for 35 %, 18 for 20 %."""
    draw = uniform_column(seed, 10, n)
    return np.array([0, 13, 18])[(draw > 0.45).astype(np.int64) + (draw > 0.8)]


def prices(seed: int, n: int) -> Floats:
    """(n) from 2 to 10, in hundredths."""
    return np.round(2 + 8 * uniform_column(seed, 12, n), 2)


def sponsored(seed: int, n: int) -> NDArray[np.bool_]:
    """(n) True for about one item in ten."""
    paid: NDArray[np.bool_] = uniform_column(seed, 14, n) < SPONSORED_SHARE
    return paid
