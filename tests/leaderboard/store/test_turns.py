"""Answers are in order, and final."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasteshift.leaderboard.store.database import Board, Outpaced
from tasteshift.leaderboard.store.submissions import receive, standings, tell
from tasteshift.leaderboard.store.turns import answer, turns


def playing(board: Board) -> int:
    key = f"{len(standings(board)):032x}"
    return receive(board, kind="attempt", key=key, owner="me", about={}, state="playing")[0].id


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 3), st.integers()), max_size=12))
def test_the_first_answer_counts_and_none_is_left_out(
    board: Board, given_answers: list[tuple[int, int, int]]
) -> None:
    id, expected = playing(board), {}
    for life, turn, slate in given_answers:
        action, stored = {"slate": [slate]}, expected.setdefault(life, [])
        if 0 <= turn < len(stored):
            assert answer(board, id, life, turn, action) == (stored[turn], False)
        elif turn == len(stored):
            assert answer(board, id, life, turn, action) == (action, True)
            stored.append(action)
        else:
            with pytest.raises(Outpaced):
                answer(board, id, life, turn, action)
    assert turns(board, id) == {life: stored for life, stored in expected.items() if stored}


def test_of_many_answers_at_once_one_counts(board: Board) -> None:
    id = playing(board)

    def play(number: int) -> tuple[int, bool]:
        action, new = answer(board, id, 0, 0, {"slate": [number]})
        return action["slate"][0], new

    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(play, range(32)))
    assert len({slate for slate, _ in got}) == 1
    assert [new for _, new in got].count(True) == 1
    assert got[[new for _, new in got].index(True)][0] == turns(board, id)[0][0]["slate"][0]


def test_nothing_is_answered_after_the_end(board: Board) -> None:
    id = playing(board)
    answer(board, id, 0, 0, {"slate": [1]})
    tell(board, id, "queued", "finished", after=0)
    with pytest.raises(Outpaced, match="over"):
        answer(board, id, 0, 1, {"slate": [2]})
    assert answer(board, id, 0, 0, {"slate": [3]}) == ({"slate": [1]}, False)
    with pytest.raises(LookupError):
        answer(board, id + 1, 0, 0, {})


def test_an_answer_that_races_the_end_is_either_kept_or_too_late(board: Board) -> None:
    for _ in range(5):
        id = playing(board)

        def play(number: int, id: int = id) -> bool:
            try:
                return answer(board, id, number, 0, {"slate": [number]})[1]
            except Outpaced:
                return False

        with ThreadPoolExecutor(8) as pool:
            before = [pool.submit(play, n) for n in range(6)]
            end = pool.submit(tell, board, id, "queued", "", after=0)
            after = [pool.submit(play, n) for n in range(6, 12)]
            end.result()
            seen = set(turns(board, id))
            kept = {n for n, one in enumerate(before + after) if one.result()}
        assert set(turns(board, id)) == kept == seen
