"""What happens to a submission inside the verifying process."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ....errors import InputError
from ...hidden.attempt import Attempt
from ...hidden.scoring import conclude_attempt
from ...store.results import result_of
from ...store.schema import Result
from ...verification.rejection import VerificationError
from ...verification.verify import VerifiedRun, verify_archive
from .jobs import FAULTS, WAITING

NEWS_S = 0.5
"""The least time between two pieces of news."""

Tell = Callable[[str], None]

log = logging.getLogger(__name__)


def examine(job: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """The fields of an `Outcome` for what `run_job` or `attempt_job` describes.

    tell  called now and then with how far it is

    Raises MemoryError where memory was short: the submission is not to be blamed for that.
    """
    hidden = job["kind"] == "attempt"
    try:
        run, message = _attempt(job, tell) if hidden else _run(job, tell)
    except (VerificationError, InputError) as error:
        blamed = _machine(error)
        state, why = ("refused", str(error)) if blamed is None else (WAITING, str(blamed))
        return {"state": state, "message": why, "columns": None}
    except Exception as error:
        blamed = _machine(error)
        if blamed is not None:
            return {"state": WAITING, "message": str(blamed), "columns": None}
        log.exception("verification of submission %s failed", job["id"])
        what = f"verification itself failed ({type(error).__name__}); tell whoever runs this board"
        return {"state": "refused", "message": what, "columns": None}
    row = result_of(run, job["id"], "hidden-seed" if hidden else "replayed")
    columns = {column.key: getattr(row, column.key) for column in Result.__table__.columns}
    return {"state": "accepted", "message": message, "columns": columns}


def _run(job: dict[str, Any], tell: Tell) -> tuple[VerifiedRun, str]:
    progress, folder = partial(_watched, tell, "replayed"), Path(job["folder"])
    folder.mkdir()
    verdict = verify_archive(job["archive"], progress=progress, scratch=folder)
    if verdict.run is None:
        raise VerificationError(verdict.reason)
    return verdict.run, verdict.reason


def _attempt(job: dict[str, Any], tell: Tell) -> tuple[VerifiedRun, str]:
    key, only = bytes.fromhex(job["key"]), bool(job["about"].get("only_language_models"))
    attempt = Attempt(job["suite"], key, job["name"], only_language_models=only)
    turns, folder = dict(job["turns"]), Path(job["folder"])
    progress = partial(_watched, tell, "lived")
    run = conclude_attempt(attempt, job["about"], turns, folder, progress=progress)
    given, lives = sum(map(len, turns.values())), len(attempt.lives)
    return run, f"scored with {given} answers in {len(turns)} of {lives} lives"


@contextmanager
def _watched(tell: Tell, done: str, ahead: int) -> Iterator[Callable[[str], None]]:
    """Counts the lives that are done."""
    finished, told = 0, -NEWS_S

    def tick(task: str) -> None:
        nonlocal finished, told
        finished += 1
        if time.monotonic() - told >= NEWS_S:
            told = time.monotonic()
            tell(f"{finished} of {ahead} lives {done}")

    yield tick


def _machine(error: BaseException | None) -> OSError | None:
    """The full or broken disk behind an error; raises MemoryError for want of memory."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            raise MemoryError
        if isinstance(error, OSError) and error.errno in FAULTS:
            return error
        error = error.__context__
    return None
