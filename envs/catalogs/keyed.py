"""Draws under a secret key, of which every bit counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import shake_256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..numerics import elementary as exact
from ..numerics.grid import on_grid
from .taste_space import Floats

Rows = NDArray[np.int64]

KEY_BYTES = 32


@dataclass(frozen=True)
class Keyed:
    """SHAKE-256 streams of a 32-byte key, an independent one for each label.

    The same on every machine; raises InputError for a key of another length.
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise InputError(f"a catalog is redrawn under {KEY_BYTES} bytes, not {len(self.key)}")

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
        flat = exact.normal_quantile(self.uniform(label, count * width))
        return on_grid(flat.reshape(count, width))

    def order(self, label: str, count: int) -> Rows:
        """A permutation of 0 … count − 1."""
        return np.argsort(self.uniform(label, count), kind="stable")

    def dealt(self, label: str, values: NDArray[Any], groups: Rows | None = None) -> NDArray[Any]:
        """The values (n), given out anew: within each of the groups (n), or among all."""
        lots = self.uniform(label, len(values))
        groups = np.zeros(len(values), dtype=np.int64) if groups is None else groups
        given = np.empty_like(values)
        given[np.argsort(groups, kind="stable")] = values[np.lexsort((lots, groups))]
        return given

    def among_neighbors(
        self, label: str, values: NDArray[Any], by: Floats, reach: int
    ) -> NDArray[Any]:
        """The values (n), given out anew among rows that rank within about `reach` in `by` (n).

        What goes with `by` goes on going with it, but whose it was is lost.
        """
        n = len(values)
        ranked = np.lexsort((self.uniform(f"{label} ties", n), -by))
        moved = np.argsort(np.arange(n) + reach * self.normal(label, n, 1)[:, 0], kind="stable")
        given = np.empty_like(values)
        given[ranked] = values[ranked[moved]]
        return given
