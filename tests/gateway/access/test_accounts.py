"""What an account allows, refuses and tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.access.accounts import DAY_SECONDS, Account, Clocks
from tandem_gateway.errors import InvalidRequest, RateLimited
from tandem_gateway.records.access import Usage
from tandem_gateway.records.limits import Limit, parse_limit, parse_limits

DAY = 20_000


class Time:
    """Both clocks, which go on together."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.clocks = Clocks(lambda: 500.0 + self.passed, lambda: DAY * DAY_SECONDS + 3600.0 + self.passed)


def account(time: Time, *limits: str, today: Usage | None = None) -> Account:
    return Account("a-key", parse_limits(limits), time.clocks, today=today or Usage())


def refused(work: object, *arguments: object) -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        work(*arguments)  # type: ignore[operator]
    return caught.value


def test_a_rate_allows_its_burst_and_then_what_comes_back():
    time = Time()
    limited = account(time, "requests=60/minute:burst=2")
    limited.request()
    limited.request()
    error = refused(limited.request)
    assert error.param == "requests"
    assert "requests=60/minute:burst=2" in str(error)
    assert error.retry_after == pytest.approx(1.0)
    time.passed += 1.0
    limited.request()
    refused(limited.request)


def test_every_limit_of_a_resource_counts():
    time = Time()
    limited = account(time, "requests=10/second", "requests=12/minute")
    for _ in range(10):
        limited.request()
    refused(limited.request)
    time.passed += 1.0
    limited.request()
    limited.request()
    assert "minute" in str(refused(limited.request))


def test_a_day_ends_at_midnight_in_utc():
    time = Time()
    limited = account(time, "documents=10/day", today=Usage(documents=4))
    limited.use("documents", 6)
    error = refused(limited.use, "documents", 1)
    assert error.retry_after == DAY_SECONDS - 3600
    time.passed += DAY_SECONDS - 3600
    limited.use("documents", 10)
    refused(limited.use, "documents", 1)


def test_more_at_once_than_a_limit_ever_allows_is_another_error():
    limited = account(Time(), "documents=10/minute:burst=5")
    with pytest.raises(InvalidRequest, match=r"documents: .* at most 5 at once .* 6") as caught:
        limited.use("documents", 6)
    assert (caught.value.param, caught.value.code) == ("documents", "limit_exceeded")
    limited.use("documents", 5)


def test_tokens_are_known_afterwards_and_may_lead_to_a_debt():
    time = Time()
    limited = account(time, "tokens=600/minute")
    limited.check_tokens()
    limited.spent(1000)
    assert refused(limited.check_tokens).retry_after == pytest.approx(40.1)
    time.passed += 40.2
    limited.check_tokens()


def test_a_refused_use_uses_nothing():
    time = Time()
    limited = account(time, "requests=10/minute", "requests=1/day")
    limited.request()
    for _ in range(20):
        refused(limited.request)
    assert limited.take_unsaved() == {DAY: Usage(requests=1)}


def test_new_limits_hold_at_once_and_an_equal_rate_keeps_its_state():
    time = Time()
    limited = account(time, "requests=2/minute")
    limited.request()
    limited.limit_to(parse_limits(["requests=2/minute", "documents=5/minute"]))
    limited.request()
    refused(limited.request)
    limited.limit_to(parse_limits(["requests=5/minute"]))
    for _ in range(5):
        limited.request()


def test_the_tightest_limit_is_told():
    time = Time()
    limited = account(time, "requests=10/minute", "documents=100/day")
    assert limited.tightest() is not None
    limited.request()
    standing = limited.tightest()
    assert standing is not None
    assert (str(standing.limit), standing.left, standing.seconds) == ("requests=10/minute", 9, 6)
    limited.use("documents", 95)
    standing = limited.tightest()
    assert standing is not None
    assert (str(standing.limit), standing.left, standing.seconds) == ("documents=100/day", 5, DAY_SECONDS - 3600)
    assert account(time).tightest() is None


def test_usage_is_kept_by_day_and_returned_once():
    time = Time()
    free = account(time)
    free.request()
    free.use("documents", 3)
    time.passed += DAY_SECONDS
    free.request()
    free.spent(7)
    assert free.take_unsaved() == {DAY: Usage(1, 0, 3), DAY + 1: Usage(1, 7, 0)}
    assert free.take_unsaved() == {}


@pytest.mark.parametrize(
    "text",
    ["requests=100/minute", "tokens=1/day", "documents=1000000000000/hour", "requests=100/second:burst=20"],
)
def test_a_limit_is_written_as_it_was_read(text: str):
    assert str(parse_limit(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "requests", "requests=0/minute", "requests=-1/minute", "requests=1/week", "bytes=1/day",
        "requests=1/day:burst=2",
        "requests=1/minute:burst=0", "requests=1/minute ", "requests=01/minute", "requests=9999999999999/day",
    ],
)  # fmt: skip
def test_other_texts_are_refused(text: str):
    with pytest.raises(ValueError, match=r"expected|burst"):
        parse_limit(text)


def test_two_limits_of_one_resource_and_period_are_refused():
    with pytest.raises(ValueError, match="two limits on requests a minute"):
        parse_limits(["requests=1/minute", "requests=2/minute"])


@given(
    st.lists(st.tuples(st.floats(0, 100_000), st.sampled_from([1, 2, 5])), max_size=50),
    st.integers(1, 20),
)
def test_no_day_has_more_than_its_limit(steps: list[tuple[float, int]], amount: int):
    time = Time()
    limited = account(time, f"documents={amount}/day")
    for pause, units in steps:
        time.passed += pause
        try:
            limited.use("documents", units)
        except (RateLimited, InvalidRequest):
            continue
    assert all(usage.documents <= amount for usage in limited.take_unsaved().values())


def test_a_limit_is_a_value():
    assert parse_limit("requests=1/day") == Limit("requests", 1, "day", 1)
