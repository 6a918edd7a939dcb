"""When a call is sent again, and after how long."""

import math
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_client.retry import MAX_DOUBLINGS, RetryPolicy, parse_retry_after, seconds_before_retry

POLICY = RetryPolicy(retries=3, base_seconds=1.0, max_seconds=8.0)
OUTCOMES = ("not_connected", "broken", "timed_out", 200, 400, 401, 404, 409, 422, 429, 500, 501, 502, 503, 504)


def wait(**changes: object) -> float | None:
    arguments: dict[str, object] = {
        "attempt": 0,
        "outcome": 503,
        "repeatable": True,
        "retry_after": None,
        "elapsed": 0.0,
        "timeout": 60.0,
        "draw": 1.0,
        **changes,
    }
    return seconds_before_retry(POLICY, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_only_what_may_succeed_is_sent_again(outcome: int | str) -> None:
    again = {"not_connected", "broken", "timed_out", 429, 502, 503, 504}
    assert (wait(outcome=outcome) is not None) == (outcome in again)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_may_have_an_effect_is_sent_again_only_if_it_was_not_begun(outcome: int | str) -> None:
    assert (wait(outcome=outcome, repeatable=False) is not None) == (outcome in {"not_connected", 429})


def test_the_wait_doubles_up_to_its_maximum() -> None:
    policy = RetryPolicy(retries=100, base_seconds=1.0, max_seconds=8.0)
    waits = [
        seconds_before_retry(
            policy,
            attempt=attempt,
            outcome=503,
            repeatable=True,
            retry_after=None,
            elapsed=0.0,
            timeout=60.0,
            draw=1.0,
        )
        for attempt in (0, 1, 2, 3, 4, 99)
    ]
    assert waits == [1, 2, 4, 8, 8, 8]
    assert MAX_DOUBLINGS < 99


def test_the_jitter_is_full() -> None:
    assert wait(draw=0.0) == 0
    assert wait(draw=0.5, attempt=2) == 2


def test_retry_after_is_the_least_wait() -> None:
    assert wait(retry_after=5.0, draw=0.0) == 5
    assert wait(retry_after=5.0, draw=1.0) == 6
    assert wait(retry_after=0.5, attempt=2, draw=1.0) == 4


def test_the_last_attempt_is_the_last() -> None:
    assert wait(attempt=2) is not None
    assert wait(attempt=3) is None


def test_no_wait_ends_after_the_deadline() -> None:
    assert wait(elapsed=58.9) is not None
    assert wait(elapsed=59.0) is None
    assert wait(retry_after=61.0) is None


@given(
    attempt=st.integers(0, 10**6),
    outcome=st.sampled_from(OUTCOMES),
    repeatable=st.booleans(),
    retry_after=st.none() | st.floats(0, 1e9),
    elapsed=st.floats(0, 1e6),
    timeout=st.floats(0.001, 1e6),
    draw=st.floats(0, 1),
    retries=st.integers(0, 10**6),
    base=st.floats(0.001, 10),
    longest=st.floats(10, 1e3),
)
def test_a_wait_is_never_negative_too_long_or_past_the_deadline(
    attempt: int,
    outcome: int,
    repeatable: bool,
    retry_after: float | None,
    elapsed: float,
    timeout: float,
    draw: float,
    retries: int,
    base: float,
    longest: float,
) -> None:
    found = seconds_before_retry(
        RetryPolicy(retries, base, longest),
        attempt=attempt,
        outcome=outcome,
        repeatable=repeatable,
        retry_after=retry_after,
        elapsed=elapsed,
        timeout=timeout,
        draw=draw,
    )
    if found is None:
        return
    assert attempt < retries
    assert math.isfinite(found)
    assert found >= (retry_after or 0)
    assert found <= max(longest, (retry_after or 0) + base)
    assert elapsed + found < timeout


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        (" 7 ", 7),
        ("1.5", None),
        ("-1", None),
        ("inf", None),
        ("1e3", None),
        ("9999999999", 1e9),
        ("9" * 5000, 1e9),
        ("٣", None),
        ("", None),
        ("soon", None),
        ("Mon, 99 Foo 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after_in_seconds(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, 0.0) == seconds


def test_retry_after_as_a_date() -> None:
    at = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
    value = format_datetime(at, usegmt=True)
    assert parse_retry_after(value, at.timestamp() - 30) == 30
    assert parse_retry_after(value, at.timestamp() + 30) == 0


@given(st.text(max_size=60))
def test_no_value_of_retry_after_is_an_error(value: str) -> None:
    found = parse_retry_after(value, 0.0)
    assert found is None or (found >= 0 and math.isfinite(found))


@pytest.mark.parametrize("arguments", [{"retries": -1}, {"base_seconds": 0}, {"base_seconds": 3, "max_seconds": 2}])
def test_a_policy_that_makes_no_sense_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"retries|base_seconds"):
        RetryPolicy(**arguments)  # type: ignore[arg-type]
