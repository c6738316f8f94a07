"""Counter-based random numbers: every draw is a pure function of its address.

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). A draw is
addressed by (seed, user, time, purpose, index). It depends neither on batch size, order or process
nor on other draws, so policies share common random numbers: changing an action changes only the
draws that the action's consequences address.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike

from . import elementary
from .arrays import Floats, Words
from .compiled import compiled

Word = int | np.uint64

ROUNDS = 10
MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL_0, WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
MASK, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
HIGH, LOW = np.uint64(20), np.uint64(12)


class Purpose(IntEnum):
    """Purposes of draws, each with its own random stream. Numbers are never reused."""

    POPULATION = 1
    DRIFT = 2
    SHIFT = 3
    RESPONSE = 4
    SPEECH = 5
    LOG_SLATE = 6
    CALIBRATION = 7
    CATALOG = 8
    USERS = 9
    TRANSIENT = 10
    COLD = 11
    CONSTRAINT = 12
    RETURN = 13
    PEOPLE = 14
    RECURRING = 15
    EPISODES = 16
    ORGANIC = 17
    PLAN = 18
    OVERLAY = 19
    INTEREST = 20
    KALE = 21
    LOG_RESPONSE = 22
    GOLDEN = 23


@compiled
def philox(a: Words, b: Words, c: Words, d: Words, seed: Word) -> None:
    """Philox4x32-10 in place: n counters (a, b, c, d) become random words under one key.

    Words are uint64 that hold 32 bits; the key is the 64-bit seed. The counters are stored column
    by column, so that the inner loop vectorizes.
    """
    k, w = seed & MASK, seed >> HALF
    for _ in range(ROUNDS):
        for j in range(a.size):
            p, q = MULTIPLIER_0 * (a[j] & MASK), MULTIPLIER_1 * (c[j] & MASK)
            a[j], b[j] = (q >> HALF) ^ b[j] ^ k, q & MASK
            c[j], d[j] = (p >> HALF) ^ d[j] ^ w, p & MASK
        k, w = (k + WEYL_0) & MASK, (w + WEYL_1) & MASK


@compiled
def uniform_of(high: int, low: int) -> float:
    """The 52 leading bits of two words as a number in (0, 1)."""
    return (float(np.int64((high << HIGH) | (low >> LOW))) + 0.5) * 2.0**-52


@compiled
def uniform32_of(word: int) -> float:
    """The 32 bits of one word as a number in (0, 1)."""
    return (float(np.int64(word)) + 0.5) * 2.0**-32


@compiled
def _pairs(address: Words, purpose: Word, first: Floats, second: Floats) -> None:
    workspace = np.empty((4, 1), np.uint64)
    for k in range(first.size):
        seed, user, time, index = address[0, k], address[1, k], address[2, k], address[3, k]
        first[k], second[k] = uniforms_of(seed, user, time, purpose, index, workspace)


@compiled
def uniforms_of(
    seed: Word, user: Word, time: Word, purpose: Word, index: Word, workspace: Words
) -> tuple[float, float]:
    """`uniforms` for one address of uint64; `workspace` (4, 1) is overwritten."""
    workspace[0, 0], workspace[1, 0] = index & MASK, user & MASK
    workspace[2, 0], workspace[3, 0] = time & MASK, purpose
    philox(workspace[0], workspace[1], workspace[2], workspace[3], seed)
    first = uniform_of(workspace[0, 0], workspace[1, 0])
    return first, uniform_of(workspace[2, 0], workspace[3, 0])


@compiled
def normal_workspace(count: int, times: int) -> tuple[Words, Floats]:
    """Workspace of `normal_rows` for `times` rows of `count` numbers."""
    blocks = times * ((count + 3) // 4)
    return np.empty((4, blocks), np.uint64), np.empty((3, 4 * blocks))


@compiled
def normal_rows(
    seed: Word, user: Word, time: Word, purpose: Word, workspace: tuple[Words, Floats], out: Floats
) -> None:
    """Fill `out` (D, 4 ⌈count / 4⌉) with the draws of D consecutive times, see `normals`."""
    times, blocks = out.shape[0], out.shape[1] // 4
    most = times * blocks
    counters, floats = workspace
    a, b, c, d = counters[0][:most], counters[1][:most], counters[2][:most], counters[3][:most]
    draw, near, tail = floats[0][: 4 * most], floats[1][: 4 * most], floats[2][: 4 * most]
    for k in range(times):
        for j in range(blocks):
            at = k * blocks + j
            a[at], b[at], d[at] = j, user & MASK, purpose
            c[at] = (time + np.uint64(k)) & MASK
    philox(a, b, c, d, seed)
    for j in range(most):
        draw[4 * j], draw[4 * j + 1] = uniform32_of(a[j]), uniform32_of(b[j])
        draw[4 * j + 2], draw[4 * j + 3] = uniform32_of(c[j]), uniform32_of(d[j])
    elementary.normal_quantiles(draw, near, tail, out.reshape(-1))


@compiled
def _normals(address: Words, purpose: Word, out: Floats) -> None:
    count = out.shape[1]
    workspace, row_out = normal_workspace(count, 1), np.empty((1, (count + 3) // 4 * 4))
    for row in range(len(out)):
        seed, user, time = address[0, row], address[1, row], address[2, row]
        normal_rows(seed, user, time, purpose, workspace, row_out)
        out[row] = row_out[0, :count]


def uniforms(
    seed: ArrayLike, user: ArrayLike, time: ArrayLike, purpose: Purpose, index: ArrayLike = 0
) -> tuple[Floats, Floats]:
    """Two independent uniform draws in (0, 1) for each broadcast address; 52 random bits each.

    seed   environment seeds, 64 bits
    user   user rows; time: days or turns; index: item, latent dimension or draw number; only the
           low 32 bits of these three are used
    """
    address, shape = _address(seed, user, time, index)
    first, second = np.empty(address.shape[1]), np.empty(address.shape[1])
    _pairs(address, int(purpose), first, second)
    return first.reshape(shape), second.reshape(shape)


def uniform(
    seed: ArrayLike, user: ArrayLike, time: ArrayLike, purpose: Purpose, index: ArrayLike = 0
) -> Floats:
    """The first of the two draws of `uniforms`."""
    return uniforms(seed, user, time, purpose, index)[0]


def normal(
    seed: ArrayLike, user: ArrayLike, time: ArrayLike, purpose: Purpose, index: ArrayLike = 0
) -> Floats:
    """Standard normal draws by inversion, addressed as in `uniform`."""
    return elementary.normal_quantile(uniform(seed, user, time, purpose, index))


def gumbel(u: Floats) -> Floats:
    """Standard Gumbel draws from uniform ones, by inversion."""
    return -elementary.log(-elementary.log(u))


def normals(
    seed: ArrayLike, user: ArrayLike, time: ArrayLike, purpose: Purpose, count: int
) -> Floats:
    """`count` standard normal draws (…, count) for each broadcast address (…), 32 bits each.

    One Philox block gives four, the cheapest draws here; magnitudes stay below 6.34.
    """
    address, shape = _address(seed, user, time)
    out = np.empty((address.shape[1], count))
    _normals(address, int(purpose), out)
    return out.reshape(*shape, count)


def _address(*parts: ArrayLike) -> tuple[Words, tuple[int, ...]]:
    """The parts, broadcast and flattened into the rows of one array, and the broadcast shape."""
    given = [words(part) for part in parts]
    shape = np.broadcast_shapes(*(part.shape for part in given))
    rows = np.empty((len(given), *shape), dtype=np.uint64)
    for k, part in enumerate(given):
        rows[k, ...] = part
    return rows.reshape(len(given), -1), shape


def words(value: ArrayLike) -> Words:
    """Integers as uint64, negative ones by two's complement; larger ones lose their high bits."""
    if isinstance(value, int):
        return np.array(value & 0xFFFFFFFFFFFFFFFF, dtype=np.uint64)
    return np.asarray(value).astype(np.uint64)
