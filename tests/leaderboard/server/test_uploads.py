"""Uploads interrupted at any point resume, and the archive is stored once."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tasteshift.leaderboard.server import uploads
from tasteshift.leaderboard.store.files import archive_path, upload_path
from tasteshift.leaderboard.store.submissions import history

DATA = os.urandom(5000)


class Killed(BaseException):
    """Simulates a kill: no error handler may catch it."""


def resume(service: Any) -> None:
    """Resume as a client does: ask for the offset, and send pieces from there."""
    for _ in range(20):
        upload = service.announce(DATA).json()
        if upload["state"] != "receiving":
            return
        offset = upload["offset"]
        service.send(upload["id"], offset, DATA[offset : offset + 2000])
    pytest.fail("the upload did not finish")


def kill_at(monkeypatch: pytest.MonkeyPatch, where: str, after: bool) -> None:
    """Make the first call of `where` raise Killed, before or after it has run."""
    owner: Any = {"fsync": os, "replace": os, "_complete": uploads}.get(where, uploads)
    real, calls = getattr(owner, where), []

    def dying(*args: Any, **named: Any) -> Any:
        if calls:
            return real(*args, **named)
        calls.append(where)
        if after:
            real(*args, **named)
        raise Killed

    monkeypatch.setattr(owner, where, dying)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("where", ["fsync", "_complete", "replace", "_sync_folder", "add_event"])
def test_kill_between_any_two_steps(
    service: Any, monkeypatch: pytest.MonkeyPatch, where: str, after: bool
) -> None:
    service.announce(DATA)
    submission = uploads_of(service)
    uploads.append(service.state.board, submission, 0, DATA[:2000])
    kill_at(monkeypatch, where, after)
    with pytest.raises(Killed):
        uploads.append(service.state.board, submission, 2000, DATA[2000:])
    resume(service)
    assert [event.state for event in history(service.state.board, 1)] == ["receiving", "queued"]
    assert archive_path(service.state.board, submission.about["sha256"]).read_bytes() == DATA
    assert not upload_path(service.state.board, 1).exists()


def test_partial_piece_on_disk_counts(service: Any) -> None:
    service.announce(DATA)
    upload_path(service.state.board, 1).write_bytes(DATA[:1234])
    assert service.announce(DATA).json()["offset"] == 1234
    resume(service)
    assert service.follow(1)["state"] == "queued"


def test_corrupted_bytes_are_detected(service: Any) -> None:
    service.announce(DATA)
    upload_path(service.state.board, 1).write_bytes(bytes(2000))
    resume(service)
    states = [event["state"] for event in service.follow(1)["events"]]
    assert states == ["receiving", "queued"]
    kept = archive_path(service.state.board, uploads_of(service).about["sha256"])
    assert kept.read_bytes() == DATA


def test_concurrent_connections_append_one_archive(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fstat

    def slowly(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        time.sleep(0.002)
        return found

    monkeypatch.setattr(os, "fstat", slowly)
    service.announce(DATA)
    submission, barrier = uploads_of(service), threading.Barrier(8)
    wrong: list[int] = []

    def push() -> None:
        barrier.wait()
        for start in range(0, len(DATA), 500):
            try:
                uploads.append(service.state.board, submission, start, DATA[start : start + 500])
            except uploads.Problem as problem:
                wrong.append(problem.status_code)

    pushers = [threading.Thread(target=push) for _ in range(8)]
    for pusher in pushers:
        pusher.start()
    for pusher in pushers:
        pusher.join()
    assert set(wrong) == {409}
    resume(service)
    assert [event.state for event in history(service.state.board, 1)] == ["receiving", "queued"]
    assert archive_path(service.state.board, submission.about["sha256"]).read_bytes() == DATA
    assert not upload_path(service.state.board, 1).exists()


def test_stalled_uploads_are_dropped_and_can_restart(service: Any) -> None:
    service.announce(DATA)
    service.send(1, 0, DATA[:2000])
    part: Path = upload_path(service.state.board, 1)
    touched = part.stat().st_mtime
    assert uploads.drop_stalled(service.state.board, touched) == 0
    assert part.exists()
    assert uploads.drop_stalled(service.state.board, touched + 1) == 1
    assert not part.exists()
    assert uploads.drop_stalled(service.state.board, touched + 1) == 0
    known = service.follow(1)
    assert known["state"] == "receiving"
    assert "dropped" in known["events"][-1]["message"]
    resume(service)
    assert service.follow(1)["state"] == "queued"


def uploads_of(service: Any) -> Any:
    from tasteshift.leaderboard.store.submissions import submission

    return submission(service.state.board, 1)
