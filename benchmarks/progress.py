"""Progress bars of benchmarks, as callers pass them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

ProgressCallback = Callable[[str], None]
"""Called with a label once for each finished step."""

ProgressBars = Callable[[str, int], AbstractContextManager[ProgressCallback]]
"""(label, total steps) -> a context manager that yields the callback of one progress bar."""


@contextmanager
def no_progress(label: str, total: int) -> Iterator[ProgressCallback]:
    """Show no progress bar."""
    yield lambda _: None
