"""Where things that can be made again are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def folder() -> Path:
    """``$TASTESHIFT_CACHE``, else ``$XDG_CACHE_HOME/tasteshift``, else ``~/.cache/tasteshift``."""
    chosen = os.environ.get("TASTESHIFT_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return Path(chosen)
    return (Path(base) if base else Path.home() / ".cache") / "tasteshift"
