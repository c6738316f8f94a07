"""Progress callbacks: how a caller follows a run, a replay or an upload."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

ProgressCallback = Callable[[str], None]
"""Called once for every finished unit of work, with the name of its task."""

ProgressFactory = Callable[[int], AbstractContextManager[ProgressCallback]]
"""Called with the number of units to come; the context that it returns yields the callback."""


def no_progress(total: int) -> AbstractContextManager[ProgressCallback]:
    """The `ProgressFactory` that shows nothing."""

    def update(task: str) -> None:
        """Show nothing."""

    return nullcontext(update)
