"""Limits of a server: sizes, counts, times, and request rates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from threading import Lock

MAX_BUCKETS = 10_000
MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Limits of one server.

    chunk             bytes of an archive in one request
    answer            bytes of one answer of an attempt
    body              bytes of any other request's body
    body_seconds      seconds within which a request's body must have arrived
    address_rate      requests a second from one address in the long run; _burst at once
    token_rate        likewise with one token
    open_uploads      archives of one token that are being uploaded or wait for a verdict
    open_attempts     hidden-seed attempts of one token that have no score yet
    attempt_seconds   seconds from the start of an attempt to its deadline
    stalled_seconds   seconds after which an upload that does not continue is dropped
    verify_seconds    seconds that the verification of one submission may take
    """

    chunk: int = MIB
    answer: int = 16 * 1024
    body: int = 64 * 1024
    body_seconds: float = 30.0
    address_rate: float = 200.0
    address_burst: int = 400
    token_rate: float = 50.0
    token_burst: int = 100
    open_uploads: int = 16
    open_attempts: int = 4
    attempt_seconds: int = 24 * 3600
    stalled_seconds: int = 24 * 3600
    verify_seconds: float = 3600.0


class RateLimiter:
    """Token buckets, one for each key: each holds `burst` and is refilled by `rate` a second.

    They exist in this process only: a restart refills them, and two servers on one database count
    apart. clock: seconds, from any origin.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._levels: dict[str, tuple[float, float]] = {}
        self._lock = Lock()

    def take(self, key: str) -> int:
        """Take one from the bucket of `key`; returns 0, or the seconds to wait if it is empty."""
        with self._lock:
            now = self._clock()
            level = self._level(key, now)
            if level < 1:
                return max(1, ceil((1 - level) / self._rate))
            if len(self._levels) >= MAX_BUCKETS:
                self._drop_full(now)
            self._levels[key] = (level - 1, now)
            return 0

    def _level(self, key: str, now: float) -> float:
        level, at = self._levels.get(key, (float(self._burst), now))
        return min(self._burst, level + self._rate * max(0.0, now - at))

    def _drop_full(self, now: float) -> None:
        """Drop full buckets, which equal new ones; of the others, keep the emptiest half."""
        emptiest = sorted(self._levels, key=lambda key: self._level(key, now))[: MAX_BUCKETS // 2]
        self._levels = {
            key: self._levels[key] for key in emptiest if self._level(key, now) < self._burst
        }
