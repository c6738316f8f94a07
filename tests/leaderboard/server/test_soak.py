"""Many concurrent clients of a service that is killed repeatedly: no submission is lost or doubled.

TASTESHIFT_SUBMISSIONS sets how many runs are submitted; TASTESHIFT_SOAK_ON=postgresql where to.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasteshift.leaderboard import client
from tasteshift.leaderboard.archive import pack
from tasteshift.leaderboard.store.database import Board, open_board
from tasteshift.leaderboard.store.files import archive_path, upload_path
from tasteshift.leaderboard.store.results import results
from tasteshift.leaderboard.store.schema import FINAL, FOLLOWS
from tasteshift.leaderboard.store.submissions import history, latest_events
from tasteshift.leaderboard.store.tokens import issue
from tasteshift.records import Action, Brief, Observation
from tasteshift.suites.evaluate import evaluate
from tasteshift.suites.suite import SUITES, Suite, Task

SUBMISSIONS = int(os.environ.get("TASTESHIFT_SUBMISSIONS", "40"))
CLIENTS, WORKERS, RUNS = 20, 2, 2 + SUBMISSIONS // 100
KILLS = 2 + SUBMISSIONS // 100
TINY = Suite(
    name="soak-test",
    version=1,
    summary="one small task",
    tasks=(Task("soak-test/stationary", "synthetic:60", "stationary", 4, 2, 2, 2),),
)


class Stepper:
    """Steps through the catalog with its own stride, so that each stride gives another run."""

    name = "stepper"

    def __init__(self, stride: int) -> None:
        self.stride = stride

    def config(self) -> dict[str, Any]:
        return {"stride": self.stride}

    def prepare(self, world: Any) -> None:
        """Nothing to prepare."""

    def start(self, brief: Brief) -> "Stepper":
        return self

    def act(self, observation: Observation) -> Action:
        first = 4 * observation.session + observation.turn
        return Action(tuple((first + k * (1 + self.stride)) % 60 for k in range(4)))


@dataclass(frozen=True)
class Job:
    """One archive, and the words of its refusal; "" where it must be accepted."""

    archive: Path
    sha256: str
    words: str
    copied: bool = False


@pytest.fixture
def tiny() -> Iterator[Suite]:
    SUITES.register(TINY.name, TINY)
    yield TINY
    del SUITES._entries[TINY.name]


@pytest.fixture
def jobs(tiny: Suite, tampered: Any, tamperings: dict[str, Any], tmp_path: Path) -> list[Job]:
    """Archives of real runs, all different; every tenth is tampered with, in the next way."""
    made, ways = [], list(tamperings.values())
    folders = [
        evaluate(Stepper(stride), tiny.name, out=tmp_path / f"run-{stride}").out
        for stride in range(min(RUNS, 12))
    ]
    for number in range(SUBMISSIONS):
        copy = type(tampered)(tmp_path / "work")
        shutil.copytree(folders[number % len(folders)], copy.path)
        manifest = copy.json("manifest.json")
        manifest["provenance"] |= {"copy": number}
        copy.write_json("manifest.json", manifest)
        way = ways[number // 10 % len(ways)] if number % 10 == 9 else None
        if way is not None:
            way.edit(copy)
        archive = tmp_path / f"{number}.tar.gz"
        sha256 = pack(copy.path, archive)
        shutil.rmtree(copy.path)
        made.append(Job(archive, sha256, way.message if way else "", way is not None))
    assert len({job.sha256 for job in made}) == SUBMISSIONS
    return made


class Killer:
    """Kills the server or a worker after every few verdicts, and restarts it."""

    def __init__(self, server: Any, board: Board) -> None:
        self.server, self.board = server, board
        self.kills: Counter[str] = Counter()
        self.snapshots: list[dict[int, list[tuple[Any, ...]]]] = []
        self.done = threading.Event()

    def run(self) -> None:
        rng = random.Random(4)
        for kill in range(KILLS):
            due = (kill + 0.3) * SUBMISSIONS / KILLS
            while self.verdicts() < due:
                if self.done.wait(0.2):
                    return
            time.sleep(rng.uniform(0.0, 0.5))
            self.snapshots.append(trail(self.board))
            if kill % 3 == 0:
                self.wait_for_an_upload()
                self.server.stop(signal.SIGKILL)
                self.kills["upload"] += len(self.uploads())
                self.server.start()
                self.kills["server"] += 1
            elif workers := self.server.workers():
                os.kill(rng.choice(workers), signal.SIGKILL)
                self.kills["worker"] += 1

    def wait_for_an_upload(self) -> None:
        """Wait for a running upload for the kill to hit; return when uploads have ended."""
        for _ in range(1000):
            if self.uploads() or self.done.wait(0.003):
                return

    def uploads(self) -> list[Path]:
        return list(upload_path(self.board, 1).parent.glob("*.part"))

    def verdicts(self) -> int:
        return sum(last.state in FINAL for _, last in latest_events(self.board))


def trail(board: Board) -> dict[int, list[tuple[Any, ...]]]:
    """All events so far, by submission."""
    return {
        one.id: [(e.seq, e.at, e.state, e.message) for e in history(board, one.id)]
        for one, _ in latest_events(board)
    }


def submit_all(url: str, token: str, jobs: list[Job], verdicts_by_hash: dict[str, Any]) -> None:
    """One client: sends every archive, follows it to its verdict, and sends it once more."""

    def short_sleep(seconds: float) -> None:
        time.sleep(min(seconds, 3.0))

    with client.BoardClient(url, token, sleep=short_sleep) as service:
        for job in jobs:
            number, _ = client._upload(service, job.archive, job.sha256, None)
            verdicts_by_hash[job.sha256] = (
                number,
                *client._wait_for_verdict(service, number, None, short_sleep),
            )
        for job in jobs:
            assert (
                client._upload(service, job.archive, job.sha256, None)[0]
                == verdicts_by_hash[job.sha256][0]
            )


def test_no_submission_is_lost_or_doubled(
    server: Callable[..., Any],
    jobs: list[Job],
    tiny: Suite,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr(client, "CHUNK_BYTES", 1_000)
    on_postgres = os.environ.get("TASTESHIFT_SOAK_ON") == "postgresql"
    location = request.getfixturevalue("postgres")() if on_postgres else str(tmp_path / "board.db")
    service = server(location, WORKERS, suite=tiny)
    url = service.start()
    with open_board(location, files=tmp_path / "files") as board:
        tokens = [issue(board, f"client-{k}", "submit") for k in range(CLIENTS)]
        root = issue(board, "root", "admin")
        verdicts_by_hash: dict[str, Any] = {}
        threads = [
            threading.Thread(
                target=submit_all, args=(url, token, jobs[k::CLIENTS], verdicts_by_hash)
            )
            for k, token in enumerate(tokens)
        ]
        killer, began = Killer(service, board), time.monotonic()
        killing = threading.Thread(target=killer.run)
        for thread in (*threads, killing):
            thread.start()
        for thread in threads:
            thread.join()
        killer.done.set()
        killing.join()
        seconds = time.monotonic() - began

        assert len(verdicts_by_hash) == SUBMISSIONS
        check_verdicts(board, jobs, verdicts_by_hash)
        check_trail(board, killer)
        check_files(board, jobs)
        check_over_http(url, root, jobs, verdicts_by_hash)
    assert service.stop(signal.SIGTERM) == 0
    logged = (tmp_path / "server.log").read_text()
    assert not any(token in logged for token in (*tokens, root))
    verdicts = Counter(state for _, state, _ in verdicts_by_hash.values())
    assert killer.kills["server"] >= 1
    assert killer.kills["worker"] >= 1
    print(
        f"\n{SUBMISSIONS} submissions by {CLIENTS} clients in {seconds:.0f} s "
        f"({SUBMISSIONS / seconds:.1f} a second), killed {killer.kills['server']} servers (within "
        f"{killer.kills['upload']} uploads) and {killer.kills['worker']} workers, "
        f"verdicts {dict(verdicts)}"
    )


def check_verdicts(board: Board, jobs: list[Job], verdicts_by_hash: dict[str, Any]) -> None:
    """Every archive is one submission with the right verdict."""
    found = {one.about["sha256"]: (one, last) for one, last in latest_events(board)}
    assert len(latest_events(board)) == len(found) == SUBMISSIONS
    for job in jobs:
        one, last = found[job.sha256]
        assert verdicts_by_hash[job.sha256] == (one.id, last.state, last.message)
        assert last.state == ("refused" if job.words else "accepted"), last.message
        assert job.words in last.message
        assert str(board.files) not in last.message
    accepted = {one.id for one, _, _ in results(board)}
    expected = [found[job.sha256][0].id for job in jobs if not job.words]
    assert accepted == set(expected)
    assert len(results(board)) == len(expected)


def check_trail(board: Board, killer: Killer) -> None:
    """Every event seen during the run is still there, in order, with valid transitions."""
    final = trail(board)
    for earlier in killer.snapshots:
        for number, events in earlier.items():
            assert final[number][: len(events)] == events
    for events in final.values():
        assert [seq for seq, *_ in events] == list(range(len(events)))
        states = ["", *(state for _, _, state, _ in events)]
        assert all(b in FOLLOWS[a] for a, b in pairwise(states))
        assert [state for state in states if state in FINAL] == states[-1:]


def check_files(board: Board, jobs: list[Job]) -> None:
    """Every archive is stored as it was sent, and no partial upload is left."""
    for job in jobs:
        kept = archive_path(board, job.sha256).read_bytes()
        assert hashlib.sha256(kept).hexdigest() == job.sha256
    assert not list(upload_path(board, 1).parent.iterdir())


def check_over_http(url: str, root: str, jobs: list[Job], verdicts_by_hash: dict[str, Any]) -> None:
    """Board and audit agree with the verdicts; copies link to the runs that they copy."""
    with httpx.Client(base_url=f"{url}/api/v2", timeout=120) as service:
        rows = {row["id"]: row for row in service.get("/board").json()}
        for job in jobs:
            if job.copied and not job.words:
                assert rows[verdicts_by_hash[job.sha256][0]]["agent"] == "my-own-invention"
                assert rows[verdicts_by_hash[job.sha256][0]]["same_actions"] is not None
        for number, row in list(rows.items())[:50]:
            known = service.get(f"/submissions/{number}").json()
            assert known["same_actions"] == row["same_actions"]
        headers, after, states = {"Authorization": f"Bearer {root}"}, 0, {}
        while after is not None:
            page = service.get("/audit", params={"after": after}, headers=headers).json()
            states |= {one["id"]: one["state"] for one in page["submissions"]}
            after = page["next"]
    assert states == {number: state for number, state, _ in verdicts_by_hash.values()}
    assert json.dumps(sorted(rows)) == json.dumps(
        sorted(number for number, state, _ in verdicts_by_hash.values() if state == "accepted")
    )
