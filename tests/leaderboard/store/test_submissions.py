"""Submissions and their events."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasteshift.leaderboard.store.database import Board, ConflictError
from tasteshift.leaderboard.store.queue import leases
from tasteshift.leaderboard.store.schema import FINAL, FOLLOWS
from tasteshift.leaderboard.store.submissions import (
    add_event,
    add_submission,
    by_key,
    history,
    latest_events,
    submission,
)


def received(board: Board, key: str, state: str = "queued", kind: str = "run") -> int:
    return add_submission(board, kind=kind, key=key, owner="me", about={"n": 1}, state=state)[0].id


def test_the_same_key_is_the_same_submission(board: Board) -> None:
    def send(number: int) -> tuple[int, bool]:
        one, new = add_submission(
            board, kind="run", key="me:1", owner="me", about={"n": number}, state="receiving"
        )
        return one.id, new

    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(send, range(48)))
    assert len({id for id, _ in got}) == 1
    assert [new for _, new in got].count(True) == 1
    assert [event.seq for event in history(board, got[0][0])] == [0]
    assert len(latest_events(board)) == 1
    stored = by_key(board, "me:1")
    assert stored is not None
    assert stored.about["n"] == [new for _, new in got].index(True)
    assert by_key(board, "me:2") is submission(board, 10**6) is None


def test_events_are_added_in_order(board: Board) -> None:
    id = received(board, "a", "receiving")
    event = add_event(board, id, "queued", "here\nit  is", after=0)
    assert (event.seq, event.message) == (1, "here it is")
    with pytest.raises(ConflictError):
        add_event(board, id, "working", "", after=0)
    with pytest.raises(ConflictError):
        add_event(board, id, "working", "", after=2)
    with pytest.raises(LookupError):
        add_event(board, id + 1, "working", "", after=0)
    assert [one.state for one in history(board, id)] == ["receiving", "queued"]
    assert [event.state for _, event in latest_events(board)] == ["queued"]


def test_only_one_of_several_concurrent_events_is_added(board: Board) -> None:
    id = received(board, "a", "receiving")

    def add(number: int) -> bool:
        try:
            add_event(board, id, "receiving", str(number), after=0)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(add, range(32))).count(True) == 1
    assert [event.seq for event in history(board, id)] == [0, 1]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(set(FOLLOWS) - {""} | set(FINAL))), max_size=6))
def test_only_allowed_state_changes_are_possible(board: Board, states: list[str]) -> None:
    key = f"{len(latest_events(board))}"
    id, now, seq = received(board, key, "receiving"), "receiving", 0
    for state in states:
        if state in FOLLOWS.get(now, ()):
            seq = add_event(board, id, state, "", after=seq).seq
            now = state
        else:
            with pytest.raises(ValueError, match=f"from {now!r}"):
                add_event(board, id, state, "", after=seq)
    assert history(board, id)[-1].state == now
    queued = id in {lease.submission_id for lease in leases(board)}
    assert queued == (now in ("queued", "working"))


def test_messages_are_stored_as_one_bounded_line(board: Board) -> None:
    id = received(board, "a", "receiving")
    add_event(board, id, "receiving", "a\0b\ud800" + "c" * 10**5, after=0)
    message = history(board, id)[-1].message
    assert message.startswith("a\\0b\\ud800cc")
    assert len(message) == 1000


def test_latest_events_can_be_filtered_by_kind_and_state(board: Board) -> None:
    run, attempt = received(board, "a"), received(board, "b", "playing", "attempt")
    assert [one.id for one, _ in latest_events(board)] == [run, attempt]
    assert [one.id for one, _ in latest_events(board, "attempt")] == [attempt]
    assert [one.id for one, _ in latest_events(board, state="queued")] == [run]
