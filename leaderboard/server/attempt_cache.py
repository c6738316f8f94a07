"""Attempts in progress: the ones used last stay in memory, the others are rebuilt on demand."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from ...errors import InputError
from ..hidden.attempt import Attempt
from ..keys import attempt_key, subkey
from ..store.database import Board
from ..store.schema import Submission
from ..store.seasons import season, secret

CACHED_ATTEMPTS = 32


def attempt_id(board: Board, season_name: str, owner: str, idempotency_key: str) -> str:
    """32 hexadecimal digits that cannot be predicted; the same request gets them again."""
    return subkey(secret(board, season_name), "attempt id", owner, idempotency_key).hex()[:32]


def build_attempt(
    board: Board, season_name: str, id: str, *, only_language_models: bool
) -> Attempt:
    """The attempt with this id; raises InputError where the season's suite cannot be played."""
    found = season(board, season_name)
    if found is None:
        raise InputError(f"there is no season {season_name!r}")
    key = attempt_key(secret(board, season_name), id)
    return Attempt(found.suite, key, id, only_language_models=only_language_models)


class AttemptCache:
    """Up to CACHED_ATTEMPTS attempts in memory; all they hold can be computed again."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._attempts: OrderedDict[str, Attempt] = OrderedDict()
        self._lock = Lock()

    def of(self, submission: Submission) -> Attempt:
        """The attempt of a submission."""
        id, about = submission.key, submission.about
        with self._lock:
            if id not in self._attempts:
                only = bool(about["only_language_models"])
                self._attempts[id] = build_attempt(
                    self._board, about["season"], id, only_language_models=only
                )
                if len(self._attempts) > CACHED_ATTEMPTS:
                    self._attempts.popitem(last=False)
            self._attempts.move_to_end(id)
            return self._attempts[id]
