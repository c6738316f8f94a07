"""Token buckets against their definition: never more than burst + rate × time."""

from hypothesis import given
from hypothesis import strategies as st

from tasteshift.leaderboard.server import limits
from tasteshift.leaderboard.server.limits import RateLimiter


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=100),
)
def test_no_window_exceeds_burst_plus_rate(rate: float, burst: int, gaps: list[float]) -> None:
    now = [0.0]
    rates = RateLimiter(rate, burst, lambda: now[0])
    passed: list[float] = []
    for gap in gaps:
        now[0] += gap
        wait = rates.take("somebody")
        if wait == 0:
            passed.append(now[0])
        else:
            before = now[0]
            now[0] += wait
            assert rates.take("somebody") == 0, "one more passes after the wait"
            passed.append(now[0])
            assert now[0] > before
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            share = burst + rate * (passed[last] - passed[first])
            assert last - first + 1 <= share + 1e-6


def test_keys_have_separate_buckets() -> None:
    rates = RateLimiter(1.0, 2, lambda: 0.0)
    assert [rates.take("ada") for _ in range(3)] == [0, 0, 1]
    assert rates.take("bob") == 0


def test_backward_clock_refills_nothing() -> None:
    now = [100.0]
    rates = RateLimiter(1.0, 1, lambda: now[0])
    assert rates.take("ada") == 0
    now[0] = 0.0
    assert rates.take("ada") == 1


def test_memory_is_bounded_and_busy_keys_stay() -> None:
    now = [0.0]
    rates = RateLimiter(1.0, 3, lambda: now[0])
    assert [rates.take("busy") for _ in range(4)] == [0, 0, 0, 1]
    for number in range(3 * limits.MAX_BUCKETS):
        now[0] += 1e-6
        rates.take(f"address {number}")
    assert len(rates._levels) <= limits.MAX_BUCKETS + 1
    assert rates.take("busy") == 1
