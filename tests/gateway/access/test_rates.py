"""The arithmetic of rate limits."""

from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.access.rates import ROUNDING, Rate, available, used, wait

RATES = st.builds(Rate, st.floats(0.001, 1e5, allow_nan=False), st.integers(1, 1_000_000))
STEPS = st.lists(st.tuples(st.floats(0, 1000, allow_nan=False), st.integers(1, 50)), max_size=60)


@given(RATES, STEPS, st.floats(0, 1e6, allow_nan=False))
def test_nobody_gets_more_than_the_burst_and_the_rate_times_the_time(
    rate: Rate, steps: list[tuple[float, int]], start: float
):
    now, full_at, taken = start, 0.0, [(start, 0)]
    for pause, units in steps:
        now += pause
        if available(full_at, now, rate) >= units - ROUNDING:
            full_at = used(full_at, now, units, rate)
            taken.append((now, units))
    for first, (since, _) in enumerate(taken):  # in every window, not only from the start
        total = 0
        for at, units in taken[first:]:
            total += units
            allowed = rate.burst + rate.per_second * (at - since)
            assert total <= allowed + 0.01 + 1e-6 * allowed


@given(RATES, st.integers(1, 1000), st.floats(0, 1e6, allow_nan=False))
def test_after_the_wait_the_use_is_allowed_and_not_much_earlier(rate: Rate, debt: int, now: float):
    full_at = used(0.0, now, rate.burst + debt, rate)
    seconds = wait(full_at, now, 1, rate)
    tolerance = 1e-3 * max(1.0, rate.per_second)
    assert available(full_at, now + seconds, rate) >= 1 - tolerance
    assert available(full_at, now + 0.9 * seconds, rate) < 1 + tolerance


@given(RATES, st.floats(0, 1e6, allow_nan=False))
def test_an_allowance_that_was_never_used_is_full(rate: Rate, now: float):
    assert available(0.0, now, rate) == rate.burst
    assert wait(0.0, now, rate.burst, rate) == 0


@given(RATES, st.integers(1, 100), st.floats(0, 1e6, allow_nan=False))
def test_what_is_given_back_is_available_again(rate: Rate, units: int, now: float):
    before = used(0.0, now, 200, rate)
    after = used(used(before, now, units, rate), now, -units, rate)
    assert abs(after - before) < 1e-6
