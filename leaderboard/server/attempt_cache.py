"""Attempts under way: the newest stay in memory, the others come back from what is stored."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from ...errors import InputError
from ..hidden.attempt import Attempt
from ..hidden.keys import subkey, world_key
from ..store.database import Board
from ..store.schema import Submission
from ..store.seasons import season, secret

KEPT = 32


def attempt_id(board: Board, season_name: str, owner: str, idempotency_key: str) -> str:
    """32 hexadecimal digits that nobody can foretell, and that the same request gets again."""
    return subkey(secret(board, season_name), "attempt id", owner, idempotency_key).hex()[:32]


def drawn(board: Board, season_name: str, attempt: str, only_language_models: bool) -> Attempt:
    """The attempt with this id; raises InputError where the season's suite cannot be played."""
    played = season(board, season_name)
    if played is None:
        raise InputError(f"there is no season {season_name!r}")
    key = world_key(secret(board, season_name), attempt)
    return Attempt(played.suite, key, attempt, only_language_models=only_language_models)


class Plays:
    """The worlds of up to `KEPT` attempts; nothing in them is lost with them."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._kept: OrderedDict[str, Attempt] = OrderedDict()
        self._lock = Lock()

    def of(self, submission: Submission) -> Attempt:
        """The attempt that a submission stands for."""
        with self._lock:
            if submission.key not in self._kept:
                about = submission.about
                only = bool(about["only_language_models"])
                made = drawn(self._board, about["season"], submission.key, only)
                self._kept[submission.key] = made
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(submission.key)
            return self._kept[submission.key]
