"""The time limit of a request with ``chunking``."""

from hypothesis import given
from hypothesis import strategies as st

from tandem_contract.embed import CHARS_IN_TIMEOUT, MAX_SPLIT_SECONDS, split_seconds


def test_each_part_of_the_texts_has_the_time_of_a_request():
    assert split_seconds(30.0, 0) == 30.0
    assert split_seconds(30.0, 2 * CHARS_IN_TIMEOUT) == 90.0


@given(st.floats(0.01, 3600), st.integers(0, 10**8))
def test_it_is_bounded_and_never_below_the_time_of_a_request(seconds: float, chars: int):
    assert seconds <= split_seconds(seconds, chars) <= max(seconds, MAX_SPLIT_SECONDS)
