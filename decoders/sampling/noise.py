"""Random numbers of one text: a function of seed, prompt and position, equal on every device.

The n-th number of a stream is a mixing of key + n·γ, so any number can be had without those before
it, by integer operations that a CPU and a GPU agree on bit for bit (SplitMix64: Steele, Lea & Flood
2014, "Fast splittable pseudorandom number generators", OOPSLA). Only the logarithm that turns a
uniform into an exponential may differ in its last bit. Keys come from SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor

from ...errors import InputError
from ..execution.cuda_graphs import cuda_graphed
from ..options import whole

VERIFICATION = 1
"""Lane of the noise that accepts or rejects draft tokens; all tokens are drawn in lane 0."""

GAMMA, FIRST, SECOND = (
    number - (1 << 64) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
"""SplitMix64's constants as int64, which wraps around as unsigned 64-bit integers do."""

BLOCK = 1 << 15
"""Exponentials that a CPU computes at once, few enough to stay in its cache between operations."""

FRACTION = 52
"""Bits of a uniform number; half a step is added, so that it is never 0 and never 1."""


class Stream:
    """The noise of one text, without state: positions may be asked for in any order.

    seed    0 ≤ seed < 2**64; raises InputError for another
    prompt  texts after different prompts draw independently
    device  of the numbers
    """

    def __init__(
        self, seed: int, prompt: Sequence[int] = (), device: torch.device | str = "cpu"
    ) -> None:
        try:
            self.seed = whole(seed)
        except TypeError:
            raise InputError(f"seed is {seed!r}; give an integer") from None
        if not 0 <= self.seed < 1 << 64:
            raise InputError(f"seed is {self.seed}; give an integer from 0 to 2**64 - 1")
        text = b"".join(number.to_bytes(8, "little") for number in (self.seed, *prompt))
        self._digest = hashlib.sha256(text).digest()
        self.device = torch.device(device)

    def at(self, position: int, lane: int = 0) -> Noise:
        """The noise of the new token at `position` (≥ 0) and of what follows it in its round.

        lane  independent noise for the same position: 0 draws tokens, others verify them
        """
        return Noise(torch.full((), self._key(position, lane), device=self.device))

    def exponentials(self, positions: Sequence[int], count: int) -> Tensor:
        """The first `count` exponentials of each position, (positions, count) float64, as `at`."""
        keys = torch.tensor([self._key(position, 0) for position in positions])
        keys = keys.to(self.device, non_blocking=True)
        return _numbers(keys, kind=_exponential, count=count)[0]

    def _key(self, position: int, lane: int) -> int:
        digest = hashlib.sha256(self._digest + f"{position} {lane}".encode()).digest()
        return int.from_bytes(digest[:8], "little", signed=True)


class Noise:
    """Random numbers of one position in order; each call continues where the last one ended.

    key    () int64, on the device of the numbers
    taken  how many were taken before
    """

    def __init__(self, key: Tensor, taken: int = 0) -> None:
        self.key = key
        self.taken = taken

    def take(self, count: int) -> int:
        """Reserve the next `count` numbers; returns the index of the first."""
        start = self.taken
        self.taken += count
        return start

    def uniforms(self, *shape: int) -> Tensor:
        """Uniform numbers above 0 and below 1, float64."""
        return self._next(_uniform, shape)

    def exponentials(self, *shape: int) -> Tensor:
        """Exponential numbers of rate 1, all above 0, float64."""
        return self._next(_exponential, shape)

    def _next(self, kind: Kind, shape: tuple[int, ...]) -> Tensor:
        count = prod(shape)
        return _numbers(self.key, kind=kind, count=count, start=self.take(count))[0].view(shape)


Kind = Callable[[Tensor, int, int], Tensor]
"""(keys, count, start) -> numbers `start` … `start + count − 1` of each key."""


@cuda_graphed
def _numbers(keys: Tensor, *, kind: Kind, count: int, start: int = 0) -> tuple[Tensor]:
    return (kind(keys, count, start),)


def bits(keys: Tensor, count: int, start: int = 0) -> Tensor:
    """Numbers `start`, `start` + 1, … of SplitMix64 seeded with each key: (…, count) int64."""
    indices = torch.arange(start + 1, start + count + 1, device=keys.device)
    z = indices.mul_(GAMMA) + keys[..., None]
    z = z.bitwise_xor_(_shifted(z, 30)).mul_(FIRST)
    z = z.bitwise_xor_(_shifted(z, 27)).mul_(SECOND)
    return z.bitwise_xor_(_shifted(z, 31))


def _shifted(z: Tensor, count: int) -> Tensor:
    """Logical shift to the right by `count` bits."""
    return (z >> count).bitwise_and_((1 << (64 - count)) - 1)


def _exponential(keys: Tensor, count: int, start: int = 0) -> Tensor:
    block = max(1, BLOCK // keys.numel()) if keys.device.type == "cpu" else count
    if count <= block:
        return _uniform(keys, count, start).log_().neg_()
    numbers = keys.new_empty((*keys.shape, count), dtype=torch.float64)
    for first in range(0, count, block):
        size = min(block, count - first)
        numbers[..., first : first + size] = _exponential(keys, size, start + first)
    return numbers


def _uniform(keys: Tensor, count: int, start: int = 0) -> Tensor:
    fraction = _shifted(bits(keys, count, start), 64 - FRACTION)
    return fraction.to(torch.float64).add_(0.5).mul_(2.0**-FRACTION)
