"""Token buckets, against the plain definition: never more than burst + rate × time."""

from hypothesis import given
from hypothesis import strategies as st

from tasteshift.leaderboard.server import limits
from tasteshift.leaderboard.server.limits import Rates


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=100),
)
def test_no_window_lets_through_more_than_its_share(
    rate: float, burst: int, gaps: list[float]
) -> None:
    now = [0.0]
    rates = Rates(rate, burst, lambda: now[0])
    passed: list[float] = []
    for gap in gaps:
        now[0] += gap
        wait = rates.take("somebody")
        if wait == 0:
            passed.append(now[0])
        else:
            before = now[0]
            now[0] += wait
            assert rates.take("somebody") == 0, "after the wait that was told, one more passes"
            passed.append(now[0])
            assert now[0] > before
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            share = burst + rate * (passed[last] - passed[first])
            assert last - first + 1 <= share + 1e-6


def test_everybody_has_a_bucket_of_their_own() -> None:
    rates = Rates(1.0, 2, lambda: 0.0)
    assert [rates.take("ada") for _ in range(3)] == [0, 0, 1]
    assert rates.take("bob") == 0


def test_a_clock_that_runs_back_gives_nothing() -> None:
    now = [100.0]
    rates = Rates(1.0, 1, lambda: now[0])
    assert rates.take("ada") == 0
    now[0] = 0.0
    assert rates.take("ada") == 1


def test_memory_is_bounded_and_the_busy_are_not_forgotten() -> None:
    now = [0.0]
    rates = Rates(1.0, 3, lambda: now[0])
    assert [rates.take("busy") for _ in range(4)] == [0, 0, 0, 1]
    for number in range(3 * limits.MANY):
        now[0] += 1e-6
        rates.take(f"address {number}")
    assert len(rates._levels) <= limits.MANY + 1
    assert rates.take("busy") == 1
