"""The command line: parses, calls, prints. Everything heavy is imported when it is needed."""

from . import runs, board, bench  # noqa: I001  the order of the help text
from .app import app, main

__all__ = ["app", "bench", "board", "main", "runs"]
