"""Command-line interface; heavy imports happen inside the commands that need them."""

from . import bench, board, runs
from .app import app, main

__all__ = ["app", "bench", "board", "main", "runs"]
