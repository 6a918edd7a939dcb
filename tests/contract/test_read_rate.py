"""The minimum rate at which a client must read a response."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_runtime.serving.read_rate import ReadRate, slow

RATE = ReadRate(stall_seconds=30, bytes_per_second=1000, grace_seconds=30, small_bytes=5000, small_grace_seconds=120)


@pytest.mark.parametrize(
    ("elapsed", "idle", "taken", "unsent", "expected"),
    [
        (1000, 1000, 0, 0, None),
        (29, 29, 0, 10_000, None),
        (30, 30, 0, 10_000, "stopped"),
        (31, 1, 999, 10_000, "slow"),
        (31, 1, 1000, 10_000, None),
        (31, 1, 0, 5000, None),
        (121, 1, 999, 5000, "slow"),
        (121, 1, 1000, 5000, None),
    ],
)
def test_the_rate_counts_after_the_grace_time(
    elapsed: float, idle: float, taken: int, unsent: int, expected: str | None
) -> None:
    assert slow(RATE, elapsed=elapsed, idle=idle, taken=taken, unsent=unsent) == expected


@given(
    elapsed=st.floats(0, 1e6),
    taken=st.integers(0, 1 << 40),
    unsent=st.integers(1, 1 << 40),
    extra=st.integers(0, 1 << 30),
)
def test_a_client_that_has_taken_more_is_never_cut_sooner(elapsed: float, taken: int, unsent: int, extra: int) -> None:
    if slow(RATE, elapsed=elapsed, idle=0, taken=taken, unsent=unsent) is None:
        assert slow(RATE, elapsed=elapsed, idle=0, taken=taken + extra, unsent=unsent) is None


@given(unsent=st.integers(1, 1 << 34), per_second=st.integers(0, 999))
def test_every_reader_below_the_rate_is_cut(unsent: int, per_second: int) -> None:
    elapsed = 120 + 120_000 / (1000 - per_second)
    assert slow(RATE, elapsed=elapsed + 1, idle=0, taken=int(per_second * elapsed), unsent=unsent) == "slow"
