"""Whether an embedder is worth asking: a circuit breaker as pure functions of its state and the clock.

Closed, every search asks it. ``FAILURES`` in a row open it: searches are answered by words at once, instead of each
waiting for what does not answer. After a pause one search tries it again, unless the probe of its readiness says that
it is no use; the others do not wait for that one's outcome. A success closes it, which is a new ``Breaker()``. (The
pattern is Nygard's, "Release It!", 2007, chapter 5.)
"""

from dataclasses import dataclass, replace

FAILURES = 3
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """State of the breaker; times are in seconds of the monotonic clock."""

    failures: int = 0
    """Searches that failed in a row."""
    openings: int = 0
    """Times that it was opened since the last success."""
    try_at: float | None = None
    """When the next search may try; None while it is closed."""


def may_ask(state: Breaker, now: float, *, ready: bool) -> bool:
    """Return whether a search is to ask the embedder.

    Args:
        state: of the breaker.
        now: seconds of the monotonic clock.
        ready: what the last probe said; it cannot open the breaker, only keep it open.
    """
    return state.try_at is None or (ready and now >= state.try_at)


def trying(state: Breaker, now: float) -> Breaker:
    """Return the state while one search tries an open breaker: no other does, until its outcome or for a while."""
    return replace(state, try_at=now + _LONGEST_PAUSE)


def failed(state: Breaker, now: float, *, trial: bool) -> Breaker:
    """Return the state after a search that got no answer.

    Args:
        state: of the breaker.
        now: seconds of the monotonic clock.
        trial: whether it tried the open breaker; others, which began before that opened, say nothing new.
    """
    if state.try_at is not None and not trial:
        return state
    failures = state.failures + 1
    if failures < FAILURES:
        return replace(state, failures=failures)
    openings = state.openings + 1
    return Breaker(failures, openings, now + pause(openings))


def pause(openings: int) -> float:
    """Return the seconds for which it stays open: doubled each time, up to a bound."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(openings - 1, 10))
