"""Clocks and time formats for replies."""

import time
from datetime import UTC, datetime


def now() -> float:
    """Return the seconds of a monotonic clock."""
    return time.perf_counter()


def milliseconds_since(started: float) -> float:
    """Return the milliseconds since ``now()`` returned ``started``, rounded to 0.001."""
    return round((time.perf_counter() - started) * 1000, 3)


def rfc3339(seconds: float | None) -> str | None:
    """Format seconds since the epoch as RFC 3339, in UTC with milliseconds; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
