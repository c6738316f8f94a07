"""Stored actions are in order and final."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasteshift.leaderboard.store.actions import actions_of_attempt, store_action
from tasteshift.leaderboard.store.database import Board, ConflictError
from tasteshift.leaderboard.store.submissions import add_event, add_submission, latest_events


def playing(board: Board) -> int:
    key = f"{len(latest_events(board)):032x}"
    return add_submission(board, kind="attempt", key=key, owner="me", about={}, state="playing")[
        0
    ].id


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 3), st.integers()), max_size=12))
def test_the_first_action_of_a_turn_is_final(
    board: Board, given_actions: list[tuple[int, int, int]]
) -> None:
    id, expected = playing(board), {}
    for episode, turn, slate in given_actions:
        action, stored = {"slate": [slate]}, expected.setdefault(episode, [])
        if 0 <= turn < len(stored):
            assert store_action(board, id, episode, turn, action) == (stored[turn], False)
        elif turn == len(stored):
            assert store_action(board, id, episode, turn, action) == (action, True)
            stored.append(action)
        else:
            with pytest.raises(ConflictError):
                store_action(board, id, episode, turn, action)
    assert actions_of_attempt(board, id) == {
        episode: stored for episode, stored in expected.items() if stored
    }


def test_one_of_several_concurrent_actions_is_stored(board: Board) -> None:
    id = playing(board)

    def play(number: int) -> tuple[int, bool]:
        action, new = store_action(board, id, 0, 0, {"slate": [number]})
        return action["slate"][0], new

    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(play, range(32)))
    assert len({slate for slate, _ in got}) == 1
    assert [new for _, new in got].count(True) == 1
    assert (
        got[[new for _, new in got].index(True)][0]
        == actions_of_attempt(board, id)[0][0]["slate"][0]
    )


def test_no_action_is_stored_after_the_end(board: Board) -> None:
    id = playing(board)
    store_action(board, id, 0, 0, {"slate": [1]})
    add_event(board, id, "queued", "finished", after=0)
    with pytest.raises(ConflictError, match="over"):
        store_action(board, id, 0, 1, {"slate": [2]})
    assert store_action(board, id, 0, 0, {"slate": [3]}) == ({"slate": [1]}, False)
    with pytest.raises(LookupError):
        store_action(board, id + 1, 0, 0, {})


def test_an_action_concurrent_with_the_end_is_stored_or_rejected(board: Board) -> None:
    for _ in range(5):
        id = playing(board)

        def play(number: int, id: int = id) -> bool:
            try:
                return store_action(board, id, number, 0, {"slate": [number]})[1]
            except ConflictError:
                return False

        with ThreadPoolExecutor(8) as pool:
            before = [pool.submit(play, n) for n in range(6)]
            end = pool.submit(add_event, board, id, "queued", "", after=0)
            after = [pool.submit(play, n) for n in range(6, 12)]
            end.result()
            seen = set(actions_of_attempt(board, id))
            accepted = {n for n, one in enumerate(before + after) if one.result()}
        assert set(actions_of_attempt(board, id)) == accepted == seen
