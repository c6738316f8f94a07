"""Why a run is not believed, in one line."""

from __future__ import annotations

from ...suites.runner.life import Key


class Refused(Exception):
    """A run contradicts itself, this version of TasteShift, or its own replay.

    The message is one line that names the file or the life, and the turn where there is one.
    """


def life(key: Key) -> str:
    """A life in words, such as ``quick/stationary, seed 0, user 17 (agent)``."""
    task, seed, user, policy = key
    return f"{task}, seed {seed}, user {user} ({policy})"


def turn(key: Key, session: int, number: int) -> str:
    """A turn of a life in words."""
    return f"{life(key)}, session {session}, turn {number}"
