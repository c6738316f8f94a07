"""Public data: the catalog and the training log that `Agent.prepare` receives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .catalog import Catalog, freeze


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """Earlier interactions of the environment's users under a popularity-biased policy.

    Simulated, so that no agent trains on the ratings that the latents were fitted to.
    One row per slate from which something was chosen, ordered by user, then time.

    num_users  users of the environment, those without a row included
    user       (m) user rows
    item       (m) item chosen
    rating     (m) rating in [0, 1]
    """

    num_users: int
    user: NDArray[np.int64]
    item: NDArray[np.int64]
    rating: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Make the columns read-only, since all agents of a catalog share them."""
        freeze(self)

    def __len__(self) -> int:
        return len(self.user)

    def __deepcopy__(self, memo: dict[int, Any]) -> TrainingLog:
        """Itself, since it is immutable: clones of an agent share public data."""
        return self


@dataclass(frozen=True, eq=False)
class PublicData:
    """The argument of `Agent.prepare`; its arrays are read-only, copy before writing.

    catalog     the public catalog
    log         the training log
    slate_size  maximum number of items in a slate
    seed        the agent's own seed for anything it trains
    entry_day   (n) int64, the day from which an item can be shown; all 0 unless items are new
    """

    catalog: Catalog
    log: TrainingLog
    slate_size: int
    seed: int
    entry_day: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Make `entry_day` read-only, since the environment shares it."""
        freeze(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> PublicData:
        """Itself, as with `TrainingLog`."""
        return self
