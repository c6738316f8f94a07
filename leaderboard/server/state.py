"""Application state: what all requests to one server share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock

from ..store.database import Board
from .attempt_cache import AttemptCache
from .board_cache import BoardCache
from .limits import Limits, RateLimiter


@dataclass(frozen=True)
class AppState:
    """The open board with its limits, clock and caches.

    clock         seconds since 1970, UTC
    token_rates   requests with one token
    rows          rows of the board
    attempts      attempts in progress
    opening_lock  held while a token's open work is counted and added to; as with rates, two
                  servers on one database count apart
    """

    board: Board
    limits: Limits
    clock: Callable[[], float]
    token_rates: RateLimiter
    rows: BoardCache
    attempts: AttemptCache
    opening_lock: Lock = field(default_factory=Lock)

    def time(self, offset: float = 0.0) -> str:
        """The time `offset` seconds from now, in the format of the store."""
        return datetime.fromtimestamp(self.clock() + offset, UTC).isoformat(timespec="seconds")
