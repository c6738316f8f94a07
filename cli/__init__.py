"""The command line: parses, calls, prints. Everything heavy is imported when it is needed."""

from . import bench, board, runs
from .app import app, main

__all__ = ["app", "bench", "board", "main", "runs"]
