"""Verification of one job, inside the verifier process."""

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
from ...rejection import VerificationError
from ...store.results import result_of
from ...store.schema import Result
from ...verification.verify import VerifiedRun, verify_archive
from .jobs import MACHINE_ERRORS, WAITING

PROGRESS_SECONDS = 0.5
"""The least time between two progress messages."""

Report = Callable[[str], None]

log = logging.getLogger(__name__)


def verify_submission(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """The fields of an `Outcome` for what `run_job` or `attempt_job` describes.

    report  called now and then with a progress message

    Raises MemoryError where memory was short, which is not the submission's fault.
    """
    hidden = job["kind"] == "attempt"
    try:
        run, message = (_score_attempt if hidden else _verify_run)(job, report)
    except (VerificationError, InputError) as error:
        cause = _machine_error(error)
        state, why = ("refused", str(error)) if cause is None else (WAITING, str(cause))
        return {"state": state, "message": why, "columns": None}
    except Exception as error:
        cause = _machine_error(error)
        if cause is not None:
            return {"state": WAITING, "message": str(cause), "columns": None}
        log.exception("verification of submission %s failed", job["id"])
        what = (
            f"verification itself failed ({type(error).__name__}); tell this board's administrators"
        )
        return {"state": "refused", "message": what, "columns": None}
    row = result_of(run, job["id"], "hidden-seed" if hidden else "replayed")
    columns = {column.key: getattr(row, column.key) for column in Result.__table__.columns}
    return {"state": "accepted", "message": message, "columns": columns}


def _verify_run(job: dict[str, Any], report: Report) -> tuple[VerifiedRun, str]:
    progress, folder = partial(_progress, report, "replayed"), Path(job["folder"])
    folder.mkdir()
    verdict = verify_archive(job["archive"], progress=progress, scratch=folder)
    if verdict.run is None:
        raise VerificationError(verdict.reason)
    return verdict.run, verdict.reason


def _score_attempt(job: dict[str, Any], report: Report) -> tuple[VerifiedRun, str]:
    key, only = bytes.fromhex(job["key"]), bool(job["about"].get("only_language_models"))
    attempt = Attempt(job["suite"], key, job["name"], only_language_models=only)
    answers, folder = dict(job["answers"]), Path(job["folder"])
    progress = partial(_progress, report, "replayed")
    run = conclude_attempt(attempt, job["about"], answers, folder, progress=progress)
    given, episodes = sum(map(len, answers.values())), len(attempt.episode_tasks)
    return run, f"scored with {given} answers in {len(answers)} of {episodes} episodes"


@contextmanager
def _progress(report: Report, verb: str, total: int) -> Iterator[Callable[[str], None]]:
    """Progress callback that counts finished episodes and reports them."""
    finished, reported = 0, -PROGRESS_SECONDS

    def advance(task: str) -> None:
        nonlocal finished, reported
        finished += 1
        if time.monotonic() - reported >= PROGRESS_SECONDS:
            reported = time.monotonic()
            report(f"{verb} {finished} of {total} episodes")

    yield advance


def _machine_error(error: BaseException | None) -> OSError | None:
    """The full or broken disk behind an error, if any; raises MemoryError for lack of memory."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            raise MemoryError
        if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
            return error
        error = error.__context__
    return None
