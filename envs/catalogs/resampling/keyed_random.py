"""Random draws under a secret 256-bit key, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import shake_256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ...numerics import elementary
from ...numerics.grid import on_grid
from ..fitting.latent_space import Floats

Ints = NDArray[np.int64]

KEY_BYTES = 32


@dataclass(frozen=True)
class KeyedRandom:
    """SHAKE-256 streams of a 32-byte key, an independent one for each label.

    Raises InputError for a key of another length.
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise InputError(
                f"a catalog is resampled under a key of {KEY_BYTES} bytes, not {len(self.key)}"
            )

    def bits(self, label: str, count: int) -> NDArray[np.uint64]:
        """(count) random 64-bit words."""
        stream = shake_256(b"tasteshift redrawn catalog\0" + self.key + label.encode())
        return np.frombuffer(stream.digest(8 * count), dtype="<u8").astype(np.uint64)

    def uniform(self, label: str, count: int) -> Floats:
        """(count) in (0, 1), of 52 bits each."""
        bits = self.bits(label, count) >> np.uint64(12)
        uniform: Floats = (bits.astype(np.float64) + 0.5) * 2.0**-52
        return uniform

    def normal(self, label: str, count: int, width: int) -> Floats:
        """(count, width) standard normal, on the grid."""
        flat = elementary.normal_quantile(self.uniform(label, count * width))
        return on_grid(flat.reshape(count, width))

    def permutation(self, label: str, count: int) -> Ints:
        """A permutation of 0 … count − 1."""
        return np.argsort(self.uniform(label, count), kind="stable")

    def shuffled(
        self, label: str, values: NDArray[Any], groups: Ints | None = None
    ) -> NDArray[Any]:
        """The values (n), permuted within each of the groups (n), or among all."""
        draws = self.uniform(label, len(values))
        groups = np.zeros(len(values), dtype=np.int64) if groups is None else groups
        permuted = np.empty_like(values)
        permuted[np.argsort(groups, kind="stable")] = values[np.lexsort((draws, groups))]
        return permuted

    def shuffled_locally(
        self, label: str, values: NDArray[Any], by: Floats, distance: int
    ) -> NDArray[Any]:
        """The values (n), permuted among rows whose ranks by `by` (n) differ by about `distance`.

        Keeps the correlation with `by` but not the assignment to rows.
        """
        n = len(values)
        ranked = np.lexsort((self.uniform(f"{label} ties", n), -by))
        moved = np.argsort(np.arange(n) + distance * self.normal(label, n, 1)[:, 0], kind="stable")
        permuted = np.empty_like(values)
        permuted[ranked] = values[ranked[moved]]
        return permuted
