"""Times as clients see them."""

import time
from datetime import UTC, datetime


def now() -> float:
    """Return seconds of a clock that only runs forward."""
    return time.perf_counter()


def milliseconds_since(started: float) -> float:
    """Return the milliseconds since ``now()`` returned ``started``, to a thousandth."""
    return round((time.perf_counter() - started) * 1000, 3)


def rfc3339(seconds: float | None) -> str | None:
    """Return a time since the epoch in RFC 3339, in UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
