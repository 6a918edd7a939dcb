"""The embedding worker's wait before a retry."""

from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.use_cases.backoff import delay


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_delay_is_above_zero_and_never_over_its_bound(failures: int, randomness: float):
    assert 0.05 <= delay(failures, randomness) <= 5.0


@given(st.integers(1, 2_000), st.floats(0, 1))
def test_a_delay_does_not_shrink_with_more_failures(failures: int, randomness: float):
    assert delay(failures, randomness) <= delay(failures + 1, randomness)


def test_a_delay_doubles_until_its_bound():
    spans = [delay(failures, 1.0, base=1, most=10) for failures in (1, 2, 3, 4, 5, 100_000)]
    assert spans == [1, 2, 4, 8, 10, 10]
    assert delay(3, 0.0, base=1, most=10) == 2
