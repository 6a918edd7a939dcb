"""Decides whether a call is sent again, and after how long: pure functions, with time and chance as arguments.

A call is sent again after

- a failure to connect: nothing was sent;
- a broken connection, a time-out of an attempt, and 502, 503 and 504: only if the call is repeatable, which means that
  two requests have the effect of one;
- 429: the gateway refused it before it did anything.

The wait is exponential with full jitter, and at least the ``Retry-After`` of the response. A call never waits past its
deadline: if the wait does not fit, the error is raised at once, and its ``retry_after`` tells the wait.
"""

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Literal

Fault = Literal["not_connected", "broken", "timed_out"]
"""What the network did. ``not_connected``: nothing was sent. ``broken``, ``timed_out``: the request may be done."""

REFUSED: Final = 429
UNAVAILABLE: Final = frozenset({502, 503, 504})
MAX_DOUBLINGS: Final = 30

MAX_RETRY_AFTER: Final = 1e9
"""Longest ``Retry-After`` in seconds; a longer one counts as this, which no call waits for."""

_SECONDS: Final = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to try.

    Attributes:
        retries: at most this many attempts after the first; 0 for none.
        base_seconds: the first wait is from 0 to this; each later one up to twice as long.
        max_seconds: longest wait, unless ``Retry-After`` is longer.
    """

    retries: int = 3
    base_seconds: float = 0.25
    max_seconds: float = 20.0

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise ValueError(f"retries: a number from 0 was expected, not {self.retries}")
        if not 0 < self.base_seconds <= self.max_seconds:
            raise ValueError("base_seconds: a number above 0 and up to max_seconds was expected")


def seconds_before_retry(
    policy: RetryPolicy,
    *,
    attempt: int,
    outcome: int | Fault,
    repeatable: bool,
    retry_after: float | None,
    elapsed: float,
    timeout: float,
    draw: float,
) -> float | None:
    """Return the seconds to wait before the next attempt, or None to give up.

    Args:
        policy: how often and how long to try.
        attempt: number of the attempt that failed, from 0.
        outcome: status of its response, or what the network did.
        repeatable: whether two requests have the effect of one.
        retry_after: seconds of the response's ``Retry-After``; None without.
        elapsed: seconds since the call began.
        timeout: seconds that the whole call may take.
        draw: random number from 0 to 1.
    """
    if attempt >= policy.retries or not _may_repeat(outcome, repeatable):
        return None
    window = min(policy.max_seconds, policy.base_seconds * 2.0 ** min(attempt, MAX_DOUBLINGS))
    wait = draw * window
    if retry_after is not None:
        # Many clients get the same Retry-After; the jitter after it keeps them from coming back together.
        wait = max(wait, retry_after + draw * policy.base_seconds)
    return wait if elapsed + wait < timeout else None


def _may_repeat(outcome: int | Fault, repeatable: bool) -> bool:
    if outcome in ("not_connected", REFUSED):
        return True
    return repeatable and (isinstance(outcome, str) or outcome in UNAVAILABLE)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header says, at least 0; None if it is missing or not valid.

    Args:
        value: whole seconds, or an HTTP date.
        now: seconds since the epoch.
    """
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value) if len(value) < 10 else MAX_RETRY_AFTER
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError, TypeError):
        return None
