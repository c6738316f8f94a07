"""Counter-based random numbers: every draw is a pure function of what it is for.

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). A draw is
addressed by (seed, user, time, purpose, index), so widths, orders and processes cannot disturb
it, and changing one action redraws nothing that the action does not cause.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

ROUNDS = 10
MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], dtype=np.uint64)
WEYL = np.array([0x9E3779B9, 0xBB67AE85], dtype=np.uint64)
MASK = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


class Purpose(IntEnum):
    """What a draw is for; each purpose has a stream of its own. Numbers are never reused."""

    POPULATION = 1
    DRIFT = 2
    SHIFT_DAY = 3
    SHIFT_TARGET = 4
    RESPONSE = 5
    SPEECH = 6
    LOG_SLATE = 7
    CALIBRATION = 8
    CATALOG = 9
    USERS = 10


def philox(
    counter: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike], key: tuple[int, int]
) -> NDArray[np.uint64]:
    """Philox4x32-10: four 32-bit counter words (broadcast together) and two key words.

    Returns the four 32-bit output words as uint64, stacked on the first axis.
    """
    shape = np.broadcast_shapes(*(np.shape(word) for word in counter))
    words = np.empty((4, *shape), dtype=np.uint64)
    for k, word in enumerate(counter):
        words[k] = np.asarray(word, dtype=np.uint64) & MASK
    column = (2, *(1,) * len(shape))
    keys = np.array(key, dtype=np.uint64).reshape(column)
    multipliers, weyl = MULTIPLIERS.reshape(column), WEYL.reshape(column)
    even, odd = words[0::2], words[1::2]
    for _ in range(ROUNDS):
        product = even * multipliers
        even, odd = (product[::-1] >> HALF) ^ odd ^ keys, (product & MASK)[::-1]
        keys = (keys + weyl) & MASK
    words[0::2], words[1::2] = even, odd
    return words


def uniforms(
    seed: int, user: ArrayLike, time: ArrayLike, purpose: Purpose, index: ArrayLike = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two independent uniform draws in (0, 1) for each broadcast address; 52 random bits each.

    seed   the world's seed (64 bits are used)
    user   user rows; time: days or turns; index: item, latent dimension or draw number
    """
    words = philox(
        (index, user, time, int(purpose)), (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)
    )
    return _unit(words[0], words[1]), _unit(words[2], words[3])


def uniform(
    seed: int, user: ArrayLike, time: ArrayLike, purpose: Purpose, index: ArrayLike = 0
) -> NDArray[np.float64]:
    """The first of the two draws of `uniforms`."""
    return uniforms(seed, user, time, purpose, index)[0]


def normal(
    seed: int, user: ArrayLike, time: ArrayLike, purpose: Purpose, index: ArrayLike = 0
) -> NDArray[np.float64]:
    """Standard normal draws by inversion, addressed as in `uniform`."""
    draws: NDArray[np.float64] = ndtri(uniform(seed, user, time, purpose, index))
    return draws


def gumbel(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard Gumbel draws from uniform ones, by inversion."""
    return -np.log(-np.log(u))


def _unit(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.float64]:
    bits = (high << np.uint64(20)) | (low >> np.uint64(12))
    return (bits.astype(np.float64) + 0.5) * 2.0**-52
