"""The served board as processes: start, replacement of workers, shutdown."""

import hashlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasteshift.agents import make_agent
from tasteshift.errors import InputError
from tasteshift.leaderboard.archive import pack
from tasteshift.leaderboard.client import BoardClient
from tasteshift.leaderboard.hidden.client import Entry, play_hidden
from tasteshift.leaderboard.server.serve import serve


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail("timed out")


def has_exited(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_service_from_start_to_shutdown(
    server: Any, runs: Callable[[str], Path], tmp_path: Path
) -> None:
    one = server(str(tmp_path / "board.db"))
    url = one.start()
    (line,) = [line for line in one.output if "token" in line]
    token = line.rpartition(" ")[2]
    pack(runs("popular"), tmp_path / "run.tar.gz")
    data = (tmp_path / "run.tar.gz").read_bytes()
    body = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    bearer = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{url}/api/v2", headers=bearer) as client:
        (worker,) = wait_for(one.workers)
        os.kill(worker, signal.SIGKILL)
        assert client.post("/submissions", json=body).status_code == 201
        piece = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        sent = client.patch("/submissions/1/archive", content=data, headers=piece)
        assert sent.json() == {"offset": len(data)}
        wait_for(lambda: client.get("/submissions/1").json()["state"] == "accepted", 60)
        (row,) = client.get("/board").json()
        assert row["agent"] == "popular"
        (another,) = one.workers()
        assert another != worker

        season = {"name": "spring", "suite": "board-test@1", "opens": "2020-01-01T00:00:00Z"}
        season |= {"closes": "2100-01-01T00:00:00Z"}
        assert client.post("/admin/seasons", json=season).status_code == 201
        entry = Entry("spring", simulator_trained=True)
        with BoardClient(url, token) as service:
            played = play_hidden(make_agent("random"), service, entry, out=tmp_path / "attempt")
        at = f"/submissions/{played['submission']}"
        wait_for(lambda: client.get(at).json()["state"] == "accepted", 60)
        rows = {one["trust"]: one for one in client.get("/board").json()}
        assert rows["replayed"] == row
        assert rows["hidden-seed"]["agent"] == "random"
        assert rows["hidden-seed"]["simulator_trained"] is True
    assert one.stop(signal.SIGTERM) == 0
    assert has_exited(another)
    logged = (tmp_path / "server.log").read_text()
    assert "'/api/v2/submissions' 201" in logged
    assert token not in logged
    assert "Traceback" not in logged

    one.start()
    assert not any("token" in line for line in one.output), "an admin token is shown once"
    assert len(httpx.get(f"{url}/api/v2/board").json()) == 2
    last = one.workers()
    assert one.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: all(map(has_exited, last)))


def test_taken_port_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}: .* choose another --port"):
            serve(tmp_path / "board.db", port=port)
    assert not (tmp_path / "board.db").exists()
