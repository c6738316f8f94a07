"""Counter-based random numbers: every draw is a pure function of what it is for.

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). A draw is
addressed by (seed, user, time, purpose, index), so widths, orders and processes cannot disturb
it, and changing one action redraws nothing that the action does not cause.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
MASK = 0xFFFFFFFF

Word = Any
"""A Python integer or an array of uint64."""


class Purpose(IntEnum):
    """What a draw is for; each purpose has a stream of its own. Numbers are never reused."""

    POPULATION = 1
    DRIFT = 2
    SHIFT = 3
    RESPONSE = 4
    SPEECH = 5
    LOG_SLATE = 6
    CALIBRATION = 7
    CATALOG = 8
    USERS = 9


def philox(counter: tuple[Word, Word, Word, Word], key: tuple[int, int]) -> tuple[Word, ...]:
    """Philox4x32-10: four 32-bit words from four 32-bit counter words and two key words.

    Arrays broadcast together.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return c0, c1, c2, c3


def uniforms(
    seed: int, user: ArrayLike, time: ArrayLike, purpose: Purpose, index: ArrayLike = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two independent uniform draws in (0, 1) for each broadcast address; 52 random bits each.

    seed   the world's seed (64 bits are used)
    user   user rows; time: days or turns; index: item, latent dimension or draw number
    """
    address = (_word(index), _word(user), _word(time), int(purpose))
    words = philox(address, (seed & MASK, (seed >> 32) & MASK))
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


def _word(value: ArrayLike) -> Word:
    if not np.ndim(value):
        return int(np.asarray(value)) & MASK
    words: NDArray[np.uint64] = np.asarray(value).astype(np.uint64) & np.uint64(MASK)
    return words


def _unit(high: Word, low: Word) -> NDArray[np.float64]:
    """The 52 leading bits of two words as a number in (0, 1)."""
    return np.asarray((((high << 20) | (low >> 12)) + 0.5) * 2.0**-52)
