"""Circuit breaker for the embedder: pure functions of its state and the clock.

While the breaker is closed, every search calls the embedder. ``FAILURES`` failures in a row open it. While it is open,
keyword search answers at once, and no search waits for an embedder that does not answer.

After a pause, one search tries the embedder again, unless the readiness probe reports that it is not ready. The other
searches do not wait for that trial. A success closes the breaker, which is a new ``Breaker()``. The pattern is from
Nygard, "Release It!" (2007), chapter 5.
"""

from dataclasses import dataclass, replace

FAILURES = 3
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """State of the breaker; times are seconds of the monotonic clock."""

    failures: int = 0
    """Number of searches that failed in a row."""
    openings: int = 0
    """Number of times that the breaker opened since the last success."""
    try_at: float | None = None
    """Time of the next trial; None while the breaker is closed."""


def may_ask(state: Breaker, now: float, *, ready: bool) -> bool:
    """Return whether a search may call the embedder.

    Args:
        state: state of the breaker.
        now: seconds of the monotonic clock.
        ready: result of the last readiness probe. It can keep the breaker open, but not open it.
    """
    return state.try_at is None or (ready and now >= state.try_at)


def trying(state: Breaker, now: float) -> Breaker:
    """Return the state during a trial: no other trial starts until it ends, or until the longest pause is over."""
    return replace(state, try_at=now + _LONGEST_PAUSE)


def failed(state: Breaker, now: float, *, trial: bool) -> Breaker:
    """Return the state after a search that got no answer from the embedder.

    Args:
        state: state of the breaker.
        now: seconds of the monotonic clock.
        trial: whether the search was the trial of an open breaker. Other failures do not count while it is open: those
            searches began before it opened.
    """
    if state.try_at is not None and not trial:
        return state
    failures = state.failures + 1
    if failures < FAILURES:
        return replace(state, failures=failures)
    openings = state.openings + 1
    return Breaker(failures, openings, now + pause(openings))


def pause(openings: int) -> float:
    """Return the seconds for which the breaker stays open; they double with each opening, up to a maximum."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(openings - 1, 10))
