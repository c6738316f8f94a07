"""What every agent may study before the first user arrives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .catalog import Catalog, freeze


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """Interactions that the world's users had under a popularity-biased policy.

    Simulated, so that no agent trains on the ratings the latents were fitted to.
    One row per slate from which something was chosen, ordered by user, then time.

    num_users  users of the world, those without a row included
    user       (m) user rows
    item       (m) item chosen
    rating     (m) enjoyment in [0, 1]
    """

    num_users: int
    user: NDArray[np.int64]
    item: NDArray[np.int64]
    rating: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Make the columns read-only: all agents of a catalog are handed the same ones."""
        freeze(self)

    def __len__(self) -> int:
        return len(self.user)

    def __deepcopy__(self, memo: dict[int, Any]) -> TrainingLog:
        """Itself, since nothing can change it: a clone of an agent shares what is public."""
        return self


@dataclass(frozen=True, eq=False)
class PublicData:
    """The argument of `Agent.prepare`; its arrays are read-only, copy what is to be changed.

    catalog     the public catalog
    log         the training log
    slate_size  the most items that one slate may hold
    seed        the agent's own seed for anything it trains
    entry_day   (n) int64, the day from which an item can be shown; all 0 unless items are new
    """

    catalog: Catalog
    log: TrainingLog
    slate_size: int
    seed: int
    entry_day: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Make `entry_day` read-only: it is the world's own."""
        freeze(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> PublicData:
        """Itself, as with `TrainingLog`."""
        return self
