"""A board with its web application and a manual clock, and servers in processes of their own."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tasteshift.leaderboard.server.app import create_app
from tasteshift.leaderboard.server.dependencies import AppState
from tasteshift.leaderboard.server.limits import Limits
from tasteshift.leaderboard.store.seasons import open_season
from tasteshift.leaderboard.store.tokens import issue
from tasteshift.suites.suite import Suite

PIECE = {"Content-Type": "application/offset+octet-stream"}


@dataclass
class Service:
    """A running application, and clients with tokens for it."""

    app: FastAPI
    client: TestClient
    clock: list[float]
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> AppState:
        return self.app.state.shared

    def bearer(self, name: str, scope: str = "submit") -> dict[str, str]:
        """Headers with the token `name`, issued on first use."""
        if name not in self.tokens:
            self.tokens[name] = issue(self.state.board, name, scope)
        return {"Authorization": f"Bearer {self.tokens[name]}"}

    def announce(self, data: bytes, name: str = "ada", **changes: Any) -> Any:
        body = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} | changes
        return self.client.post("/api/v2/submissions", json=body, headers=self.bearer(name))

    def send(self, number: int, offset: int, piece: bytes, name: str = "ada") -> Any:
        headers = self.bearer(name) | PIECE | {"Upload-Offset": str(offset)}
        path = f"/api/v2/submissions/{number}/archive"
        return self.client.patch(path, content=piece, headers=headers)

    def follow(self, number: int) -> dict[str, Any]:
        status: dict[str, Any] = self.client.get(f"/api/v2/submissions/{number}").json()
        return status


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Creates services on one board in `tmp_path`; each is closed when the test ends."""
    opened: list[TestClient] = []

    def make(**limits: Any) -> Service:
        clock = [time.time()]
        app = create_app(tmp_path / "board.db", limits=Limits(**limits), clock=lambda: clock[0])
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        opened.append(client)
        return Service(app, client, clock)

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def service(serve: Callable[..., Service]) -> Service:
    return serve()


@pytest.fixture
def seasoned(serve: Any, suite: Suite) -> Callable[..., Any]:
    """A service with a season of the small suite."""

    def make(closes: str = "2100-01-01T00:00:00Z", **limits: Any) -> Any:
        service = serve(**limits)
        opened = service.state.board
        open_season(opened, "spring", suite.id, "2020-01-01T00:00:00Z", closes)
        return service

    return make


LAUNCHER = """
import json, sys
from tasteshift.suites.suite import SUITES, suite_from_dict

options = json.loads(sys.argv[1])
made = suite_from_dict(options.pop("suite"))
SUITES.register(made.name, made)  # in worker processes, too: they import this file

if __name__ == "__main__":
    from tasteshift.leaderboard.server.limits import Limits
    from tasteshift.leaderboard.server.serve import serve

    limits = Limits(**options.pop("limits"))
    serve(**options, limits=limits)
"""


class Server:
    """`serve` in a process of its own, which can be killed and started again."""

    def __init__(self, folder: Path, suite: Suite, location: str, workers: int, **limits: Any):
        self._script = folder / "launcher.py"
        self._script.write_text(LAUNCHER)
        self._options = {"suite": suite.to_dict(), "location": location, "workers": workers}
        self._options |= {"files": str(folder / "files"), "limits": limits}
        self._log = (folder / "server.log").open("ab")
        self.port, self.output = 0, [""]
        self.process: Any = None

    def start(self) -> str:
        """Start, wait until it listens, and return its address."""
        options = json.dumps(self._options | {"port": self.port})
        command = [sys.executable, "-P", str(self._script), options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self.output = []
        for line in self.process.stdout:
            self.output.append(line.strip())
            if line.startswith("board at "):
                self.port = int(line.rpartition(":")[2])
                return line.removeprefix("board at ").strip()
        raise AssertionError(f"the server did not start: {self.output}")

    def workers(self) -> list[int]:
        """Process ids of the server's workers."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        found = {int(child) for one in threads for child in one.read_text().split()}
        return sorted(pid for pid in found if b"spawn_main" in _command(pid))

    def stop(self, how: signal.Signals) -> int:
        """Send a signal and wait for the end; returns the exit status."""
        self.process.send_signal(how)
        self.process.stdout.close()
        status: int = self.process.wait(30)
        return status

    def close(self) -> None:
        if self.process is not None:
            self.stop(signal.SIGKILL)
        self._log.close()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def server(suite: Suite, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Creates servers for a board, whose workers know the suite of these tests."""
    made: list[Server] = []

    def make(location: str, workers: int = 1, suite: Suite = suite, **limits: Any) -> Server:
        made.append(Server(tmp_path, suite, location, workers, **limits))
        return made[-1]

    yield make
    for one in made:
        one.close()
