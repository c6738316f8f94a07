"""Each submission is held by one worker at a time, and no crash loses it."""

import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from tasteshift.errors import InputError
from tasteshift.leaderboard.store.database import Board
from tasteshift.leaderboard.store.queue import (
    MAX_ATTEMPTS,
    claim,
    conclude,
    leases,
    release,
    renew,
    retry,
)
from tasteshift.leaderboard.store.results import results
from tasteshift.leaderboard.store.schema import Lease, Result
from tasteshift.leaderboard.store.submissions import add_submission, history

WORKERS = st.sampled_from(["ada", "bob", "eve"])
KEYS = count()


def queued(board: Board) -> int:
    key = f"me:{next(KEYS)}"
    return add_submission(board, kind="run", key=key, owner="me", about={}, state="queued")[0].id


def states(board: Board, id: int) -> list[str]:
    return [event.state for event in history(board, id)]


def a_result(id: int) -> Result:
    columns = {column.name: "" for column in Result.__table__.columns}
    return Result(**columns | {"submission_id": id, "privileged": False})


@dataclass
class Expected:
    """The expected state of one submission."""

    worker: str = ""
    expires: float = 0.0
    attempts: int = 0
    states: list[str] = field(default_factory=lambda: ["queued"])


class Queue(RuleBasedStateMachine):
    """Compare every claim, renewal and verdict with a model in plain Python."""

    board: Board

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.waiting: dict[int, Expected] = {}
        self.done: dict[int, list[str]] = {}

    @rule()
    def submit(self) -> None:
        self.waiting[queued(self.board)] = Expected()

    @rule(seconds=st.integers(1, 20))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(worker=WORKERS, ttl=st.integers(1, 10))
    def take(self, worker: str, ttl: int) -> None:
        expected = None
        for id in sorted(self.waiting):
            one = self.waiting[id]
            if one.expires > self.now:
                continue
            if one.attempts == 3:
                self.finish(id, "refused")
                continue
            one.worker, one.expires = worker, self.now + ttl
            one.attempts += 1
            one.states.append("working")
            expected = id
            break
        got = claim(self.board, worker, now=self.now, ttl=ttl)
        assert (got.id if got else None) == expected

    @rule(worker=WORKERS, ttl=st.integers(1, 10))
    def extend(self, worker: str, ttl: int) -> None:
        for id, one in self.waiting.items():
            mine = one.worker == worker
            assert renew(self.board, id, worker, now=self.now, ttl=ttl) == mine
            if mine:
                one.expires = self.now + ttl

    @rule(worker=WORKERS, good=st.booleans())
    def decide(self, worker: str, good: bool) -> None:
        for id, one in list(self.waiting.items()):
            mine, verdict = one.worker == worker, "accepted" if good else "refused"
            result = a_result(id) if good else None
            assert conclude(self.board, id, worker, verdict, "", result) == mine
            if mine:
                self.finish(id, verdict)
        for id in self.done:
            assert not conclude(self.board, id, worker, "accepted", "", a_result(id))

    @rule(worker=WORKERS)
    def give_up(self, worker: str) -> None:
        for id, one in self.waiting.items():
            mine = one.worker == worker
            assert release(self.board, id, worker) == mine
            if mine:
                one.worker, one.expires = "", 0.0
                one.attempts -= 1

    def finish(self, id: int, verdict: str) -> None:
        self.done[id] = [*self.waiting.pop(id).states, verdict]

    @invariant()
    def the_queue_is_as_expected(self) -> None:
        assert [
            (one.submission_id, one.worker, one.expires, one.attempts) for one in leases(self.board)
        ] == [
            (id, one.worker, one.expires, one.attempts) for id, one in sorted(self.waiting.items())
        ]

    def teardown(self) -> None:
        accepted = {one.id for one, _, _ in results(self.board)}
        for id, expected in self.done.items():
            assert states(self.board, id) == expected
            assert (id in accepted) == (expected[-1] == "accepted")
        for id, one in self.waiting.items():
            assert states(self.board, id) == one.states
            assert id not in accepted
        while (left := claim(self.board, "last", now=1e9, ttl=1)) is not None:
            conclude(self.board, left.id, "last", "refused", "", None)


def test_the_queue_behaves_like_its_model(board: Board) -> None:
    machine = type("Queue", (Queue,), {"board": board})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=20, stateful_step_count=15, deadline=None)
    )


def test_each_submission_is_claimed_once_by_concurrent_threads(board: Board) -> None:
    ids = [queued(board) for _ in range(40)]

    def drain(worker: str) -> list[int]:
        got = []
        while (one := claim(board, worker, now=1.0, ttl=60)) is not None:
            got.append(one.id)
        return got

    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(drain, (f"w{n}" for n in range(16))))
    assert sorted(id for got in taken for id in got) == ids
    assert all(states(board, id) == ["queued", "working"] for id in ids)


PROCESS = """
import sys
import time
from tasteshift.leaderboard.store.database import open_board
from tasteshift.leaderboard.store.queue import claim, conclude
location, files, me = sys.argv[1:]
with open_board(location, files=files) as board:
    sys.stdin.readline()
    while (one := claim(board, me, now=1.0, ttl=60)) is not None:
        assert conclude(board, one.id, me, "refused", me, None)
        print(one.id)
"""


def test_each_submission_is_claimed_once_by_concurrent_processes(
    board: Board, board_location: str
) -> None:
    ids = [queued(board) for _ in range(40)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, board_location, board.files, f"w{n}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(3)
    ]
    printed = [worker.communicate("go\n", timeout=60)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert Counter(int(id) for got in printed for id in got) == Counter(ids)
    assert all(states(board, id) == ["queued", "working", "refused"] for id in ids)


def test_only_one_of_several_concurrent_verdicts_is_written(board: Board) -> None:
    id = queued(board)
    assert claim(board, "ada", now=1.0, ttl=60) is not None
    with ThreadPoolExecutor(8) as pool:
        written = pool.map(
            lambda n: conclude(board, id, "ada", "accepted", str(n), a_result(id)), range(16)
        )
        assert list(written).count(True) == 1
    assert states(board, id) == ["queued", "working", "accepted"]
    assert len(results(board)) == 1


def test_a_verdict_that_cannot_be_stored_leaves_the_lease(board: Board) -> None:
    id, other = queued(board), queued(board)
    assert [claim(board, "ada", now=1.0, ttl=60) for _ in (id, other)].count(None) == 0
    assert conclude(board, id, "ada", "accepted", "", a_result(id))
    with pytest.raises(IntegrityError):
        conclude(board, other, "ada", "accepted", "", a_result(id))
    assert states(board, other) == ["queued", "working"]
    assert [lease.submission_id for lease in leases(board)] == [other]
    assert conclude(board, other, "ada", "refused", "", None)


def test_a_submission_that_is_lost_repeatedly_is_refused(board: Board) -> None:
    id = queued(board)
    for n in range(MAX_ATTEMPTS):
        taken = claim(board, f"w{n}", now=100.0 * n, ttl=10)
        assert taken is not None
        assert taken.id == id
    end = 100.0 * MAX_ATTEMPTS
    assert claim(board, "more", now=end - 95.0, ttl=10) is None
    assert states(board, id)[-1] == "working"
    assert claim(board, "more", now=end, ttl=10) is None
    last = history(board, id)[-1]
    assert (last.state, last.message) == ("refused", "verification was lost 10 times")
    assert not conclude(board, id, "w9", "accepted", "", a_result(id))
    assert results(board) == []


def test_claims_do_not_wait_for_each_other(board: Board) -> None:
    if board.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    first, second = queued(board), queued(board)
    with ThreadPoolExecutor(1) as pool, board.transaction() as session:
        locking = select(Lease).where(Lease.submission_id == first).with_for_update()
        assert session.scalar(locking) is not None
        taken = pool.submit(claim, board, "ada", now=1.0, ttl=60).result(10)
    assert taken is not None
    assert taken.id == second


@pytest.mark.parametrize("change", ["renew", "release", "conclude"])
def test_a_lease_taken_by_a_concurrent_transaction_is_lost(board: Board, change: str) -> None:
    id = queued(board)
    assert claim(board, "ada", now=1.0, ttl=60) is not None
    changes = {
        "renew": lambda: renew(board, id, "ada", now=9.0, ttl=60),
        "release": lambda: release(board, id, "ada"),
        "conclude": lambda: conclude(board, id, "ada", "accepted", "", a_result(id)),
    }
    with ThreadPoolExecutor(1) as pool:
        with board.transaction() as session:
            lease = session.scalars(select(Lease).with_for_update()).one()
            lease.worker, lease.expires = "eve", 100.0
            session.flush()
            late = pool.submit(changes[change])
            time.sleep(0.2)
            assert not late.done()
        assert late.result() is False
    (lease,) = leases(board)
    assert (lease.worker, lease.expires, lease.attempts) == ("eve", 100.0, 1)
    assert states(board, id) == ["queued", "working"]


def test_a_refused_submission_can_be_queued_again(board: Board) -> None:
    id = queued(board)
    with pytest.raises(InputError, match="not refused"):
        retry(board, id)
    assert claim(board, "ada", now=1.0, ttl=60) is not None
    assert conclude(board, id, "ada", "refused", "the disk is full", None)
    retry(board, id)
    assert states(board, id) == ["queued", "working", "refused", "queued"]
    taken = claim(board, "bob", now=2.0, ttl=60)
    assert taken is not None
    assert conclude(board, id, "bob", "accepted", "", a_result(taken.id))
    with pytest.raises(InputError, match="not refused"):
        retry(board, id)
