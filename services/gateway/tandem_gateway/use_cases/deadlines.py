"""Names the deadline of a whole request in the error of the stage that met it."""

from tandem_gateway.errors import DeadlineExceeded
from tandem_runtime.durations import duration


def late_search(seconds: float, error: DeadlineExceeded) -> DeadlineExceeded:
    """Return the error for a search that was not answered in time.

    Args:
        seconds: its deadline, which the caller or a setting gave. A stage knows only what was left of it.
        error: of the stage that was late.
    """
    return DeadlineExceeded(f"the search was not answered within {duration(seconds)}: {error}")
