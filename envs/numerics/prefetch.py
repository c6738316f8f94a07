"""Prefetching of table rows, for loops over users in compiled functions."""

from __future__ import annotations

from .arrays import Ints, Units
from .compiled import compiled

PER_CACHE_LINE = 16
"""Values of four bytes in a cache line of 64 bytes."""


@compiled
def prefetch(table: Units, rows: Ints) -> int:
    """Read rows (K) of a table (n, W) one iteration early; negative rows count as row 0.

    In a large catalog nearly every item of a slate is a cache miss. Reading the next user's items
    before the present user is processed lets those misses overlap with arithmetic. One value of
    each cache line is read; callers return the sum, so that the compiler keeps the reads.
    """
    total = 0
    for row in rows:
        for column in range(0, table.shape[1], PER_CACHE_LINE):
            total += table[max(row, 0), column]
        total += table[max(row, 0), -1]
    return total
