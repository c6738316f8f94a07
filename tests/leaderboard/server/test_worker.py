"""Workers: their verdicts, and recovery after kills."""

import errno
import multiprocessing
import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from tasteshift.leaderboard.archive import pack
from tasteshift.leaderboard.hidden.messages import answer_from
from tasteshift.leaderboard.server.workers import worker
from tasteshift.leaderboard.server.workers.jobs import WAITING, Outcome, run_job
from tasteshift.leaderboard.server.workers.verification import verify_submission
from tasteshift.leaderboard.server.workers.worker import work
from tasteshift.leaderboard.store.actions import store_action
from tasteshift.leaderboard.store.database import Board, open_board
from tasteshift.leaderboard.store.files import (
    archive_path,
    attempt_folder,
    scratch_folder,
    secret_path,
)
from tasteshift.leaderboard.store.queue import claim, leases, release
from tasteshift.leaderboard.store.results import results
from tasteshift.leaderboard.store.seasons import open_season
from tasteshift.leaderboard.store.submissions import add_event, add_submission, history, submission
from tasteshift.suites.suite import SUITES, Suite

Runs = Callable[[str], Path]
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with open_board(tmp_path / "board.db", create=True) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _known_to_children(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the suite of these tests as an entry point, for child processes."""
    SUITES.names()
    package = tmp_path / "site"
    (package / "board_test-1.dist-info").mkdir(parents=True)
    entry = "[tasteshift.suites]\nboard-test = board_test:SUITE\n"
    (package / "board_test-1.dist-info" / "entry_points.txt").write_text(entry)
    source = f"from tasteshift.suites.suite import Suite, Task\n\nSUITE = {suite!r}\n"
    (package / "board_test.py").write_text(source)
    monkeypatch.syspath_prepend(package)


def queued(board: Board, run: Path) -> int:
    """Queue a run as the service does."""
    file = board.files / f"{secrets.token_hex(8)}.tmp"
    file.parent.mkdir(parents=True, exist_ok=True)
    sha256 = pack(run, file)
    size = file.stat().st_size
    shutil.move(file, archive_path(board, sha256))
    one, _ = add_submission(
        board,
        kind="run",
        key=f"me:{secrets.token_hex(8)}",
        owner="me",
        about={"sha256": sha256, "size": size},
        state="queued",
    )
    return one.id


def verdict(board: Board, id: int) -> tuple[str, str]:
    last = history(board, id)[-1]
    return last.state, last.message


def location(board: Board) -> str:
    return str(board.engine.url.database)


def test_every_submission_gets_the_right_verdict(
    board: Board, runs: Runs, tampered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PROGRESS_SECONDS", 0.0)
    (scratch_folder(board, 10**6) / "left by a killed worker").mkdir(parents=True)
    good = queued(board, runs("popular"))
    tampered.edit_row("steps", 5, reward=2.0)
    edited = queued(board, tampered.path)
    broken = queued(board, runs("random"))
    archive_path(board, _sha(board, broken)).write_bytes(b"no archive at all")
    missing = queued(board, runs("oracle"))
    archive_path(board, _sha(board, missing)).unlink()
    again = queued(board, runs("popular"))
    worker.work(location(board), limit_s=60, once=True)

    assert verdict(board, good)[0] == "accepted"
    assert "replayed bit for bit" in verdict(board, good)[1]
    assert verdict(board, edited)[0] == "refused"
    assert "reward 2.0 recorded" in verdict(board, edited)[1]
    assert verdict(board, broken)[0] == "refused"
    assert "archive" in verdict(board, broken)[1]
    reason = "the board has lost the archive; tell its administrators"
    assert verdict(board, missing) == ("refused", reason)
    assert verdict(board, again)[0] == "accepted"
    states = [event.state for event in history(board, good)]
    assert list(dict.fromkeys(states)) == ["queued", "working", "accepted"]
    began, *progress, end = [event.message for event in history(board, good)][1:]
    assert began == "verification started"
    assert "replayed 1 of 24 episodes" in progress
    assert end.startswith("24 episodes with ")
    accepted = results(board)
    assert [(one.id, result.agent) for one, result, _ in accepted] == [
        (good, "popular"),
        (again, "popular"),
    ]
    assert accepted[0][1].trust["normalized_return"] == "replayed"
    assert accepted[0][1].track == "replayed"
    assert accepted[0][1].scores == accepted[1][1].scores != []
    assert leases(board) == []
    assert list(scratch_folder(board, good).parent.iterdir()) == []


def _sha(board: Board, id: int) -> str:
    found = submission(board, id)
    assert found is not None
    return str(found.about["sha256"])


def test_full_disk_postpones_the_verdict(
    board: Board, runs: Runs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = queued(board, runs("popular"))
    full = OSError(errno.ENOSPC, "No space left on device")

    def mkdir(*_: Any, **__: Any) -> None:
        raise full

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", mkdir)
        outcome = verify_submission(
            run_job(one, Path("none"), Path("nowhere")), lambda message: None
        )
    assert (outcome["state"], outcome["columns"]) == (WAITING, None)
    assert "No space left" in outcome["message"]

    with monkeypatch.context() as patched:
        waits = Outcome(WAITING, outcome["message"], None)
        patched.setattr(worker.Verifier, "verify", lambda *_: waits)
        worker.work(location(board), limit_s=60, once=True)
    assert history(board, one)[-1].state == "working"
    assert [(lease.submission_id, lease.attempts) for lease in leases(board)] == [(one, 0)]
    assert f"submission {one} waits" in caplog.text
    work(location(board), limit_s=60, once=True)
    assert verdict(board, one)[0] == "accepted"


def test_slow_verification_is_refused(board: Board, runs: Runs) -> None:
    slow = queued(board, runs("popular"))
    work(location(board), limit_s=0.02, once=True)
    assert verdict(board, slow) == ("refused", "verification took longer than 0.02 s")
    assert results(board) == []


def test_out_of_memory_is_refused_after_a_retry(
    board: Board, runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    large = queued(board, runs("popular"))
    work(location(board), limit_s=60, once=True, memory=2**20)
    assert verdict(board, large) == ("refused", "verification died (memory?)")
    assert caplog.text.count(f"verification of submission {large} died") == 2


def test_attempt_is_scored_from_its_answers(board: Board, suite: Suite) -> None:
    open_season(board, "spring", suite.id, "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z")
    about = {"season": "spring", "agent": "mine", "agent_config": {}, "decoder": "", "pair": ""}
    ids = {}
    for key in ("a" * 32, "b" * 32):
        one, _ = add_submission(
            board, kind="attempt", key=key, owner="me", about=about, state="playing"
        )
        ids[key] = one.id
    turn = answer_from({"slate": [1, 2, 3], "claims": [], "profile": []}).stored()
    for number in range(2):
        store_action(board, ids["a" * 32], 0, number, turn)
    for id in ids.values():
        add_event(board, id, "queued", "finished", after=0)
    slow = about | {"only_language_models": True}
    few, _ = add_submission(
        board, kind="attempt", key="d" * 32, owner="me", about=slow, state="queued"
    )
    open_season(board, "lost", suite.id, "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z")
    secret_path(board, "lost").unlink()
    about = about | {"season": "lost"}
    lost, _ = add_submission(
        board, kind="attempt", key="c" * 32, owner="me", about=about, state="queued"
    )
    work(location(board), limit_s=60, once=True)
    assert verdict(board, lost.id) == (
        "refused",
        "season 'lost' has lost its secret: No such file or directory",
    )
    accepted = {one.id: result for one, result, _ in results(board)}
    assert {score["task"] for score in accepted.pop(few.id).scores} == {"board-test/first"}
    assert set(accepted) == set(ids.values()), [verdict(board, id) for id in ids.values()]
    for key, id in ids.items():
        assert (accepted[id].track, accepted[id].agent, accepted[id].suite) == (
            "hidden-seed",
            "mine",
            suite.id,
        )
        assert accepted[id].trust["normalized_return"] == "hidden-seed"
        assert accepted[id].manifest["provenance"]["attempt"] == key
        assert (attempt_folder(board, id) / "scores.json").is_file()
    assert verdict(board, ids["a" * 32])[1] == "scored with 2 answers in 1 of 6 episodes"
    assert (
        accepted[ids["a" * 32]].manifest["identity"]["seeds"]
        != (accepted[ids["b" * 32]].manifest["identity"]["seeds"])
    )


def test_stopped_or_killed_worker_loses_nothing(board: Board, runs: Runs) -> None:
    """Both during a verification: its process is suspended, so that it cannot end."""

    def begin() -> tuple[BaseProcess, int]:
        broken = queued(board, runs("random"))
        archive_path(board, _sha(board, broken)).write_bytes(b"no archive at all")
        how = {"limit_s": 60, "lease_s": 1.5}
        process = SPAWN.Process(target=work, args=(location(board),), kwargs=how)
        process.start()
        _wait(lambda: verdict(board, broken)[0] == "refused")
        (child,) = _children(process.pid)
        os.kill(child, signal.SIGSTOP)
        return process, child

    process, child = begin()
    id = queued(board, runs("popular"))
    _wait(lambda: verdict(board, id)[0] == "working")
    os.kill(process.pid, signal.SIGTERM)
    process.join(20)
    assert process.exitcode == 0
    assert not _alive(child)
    (lease,) = leases(board)
    assert (lease.worker, lease.attempts) == ("", 0)

    assert claim(board, "another", now=time.time(), ttl=600) is not None
    process, child = begin()
    assert release(board, id, "another")
    _wait(lambda: leases(board)[0].worker not in ("", "another"))
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    os.kill(child, signal.SIGCONT)
    _wait(lambda: not _alive(child))
    (lease,) = leases(board)
    assert (verdict(board, id)[0], lease.attempts) == ("working", 1)
    assert results(board) == []

    _wait(lambda: leases(board)[0].expires < time.time())
    work(location(board), limit_s=60, once=True)
    states = [event.state for event in history(board, id)]
    assert (states[-1], states.count("accepted")) == ("accepted", 1)
    assert len(results(board)) == 1
    assert list(scratch_folder(board, id).parent.iterdir()) == []


def _wait(until: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    """Verifier processes of a worker, without its resource tracker."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(one)
        for one in found
        if b"resource_tracker" not in Path(f"/proc/{one}/cmdline").read_bytes()
    ]


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
