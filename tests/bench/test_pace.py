"""The times at which requests are due, in a closed and an open loop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_bench.load.driver import Plan
from gateway_bench.load.pace import ClosedLoop, OpenLoop


def test_a_closed_loop_of_a_count_gives_so_many_each_due_at_once() -> None:
    pace = ClosedLoop(10.0, count=3)
    assert [pace.take(now) for now in (10.0, 11.5, 11.5, 12.0)] == [10.0, 11.5, 11.5, None]
    assert pace.is_over(12.0)


def test_a_closed_loop_of_a_time_gives_none_from_its_end_on() -> None:
    pace = ClosedLoop(10.0, seconds=2.0)
    assert [pace.take(now) for now in (10.0, 11.9, 12.0, 13.0)] == [10.0, 11.9, None, None]
    assert not pace.is_over(11.9)
    assert pace.is_over(12.0)


@pytest.mark.parametrize("ends", [{}, {"count": 1, "seconds": 1.0}])
def test_a_closed_loop_needs_one_end(ends: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="one of them"):
        ClosedLoop(0.0, **ends)


def test_an_open_loop_sends_no_request_before_it_is_due() -> None:
    pace = OpenLoop(100.0, rate=4.0, count=3)
    assert pace.take(99.99) is None
    assert pace.take(100.0) == 100.0
    assert pace.take(100.24) is None
    assert pace.take(100.25) == 100.25


def test_requests_due_during_a_stall_keep_their_due_time() -> None:
    pace = OpenLoop(0.0, rate=10.0, count=5)
    assert pace.take(0.0) == 0.0
    # No worker took a request for a second: all requests are queued, each with its due time.
    assert [pace.take(1.0) for _ in range(5)] == [
        pytest.approx(0.1),
        pytest.approx(0.2),
        pytest.approx(0.3),
        pytest.approx(0.4),
        None,
    ]
    assert pace.is_over(1.0)


@given(
    rate=st.floats(0.1, 10_000),
    count=st.integers(1, 200),
    steps=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60),
)
def test_an_open_loop_gives_every_request_once_in_order_and_never_early(
    rate: float, count: int, steps: list[float]
) -> None:
    pace = OpenLoop(7.0, rate=rate, count=count)
    now, given_out = 7.0, []
    for step in steps:
        now += step
        while (due := pace.take(now)) is not None:
            assert due <= now
            given_out.append(due)
        assert pace.not_taken == count - len(given_out)
        # The remaining requests are not due yet.
        assert pace.is_over(now) or pace.due(len(given_out)) > now
    assert given_out == [7.0 + number / rate for number in range(len(given_out))]


def test_a_rate_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="over 0"):
        OpenLoop(0.0, rate=0.0, count=1)


def test_an_open_loop_of_a_time_has_rate_times_time_requests() -> None:
    assert Plan(1, seconds=2.5, rate=40.0).total == 100
    assert Plan(1, count=7, rate=40.0).total == 7
    assert Plan(1, seconds=2.5).total is None
