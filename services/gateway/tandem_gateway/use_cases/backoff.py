"""Delay before a retry: a pure function that takes the random number as an argument."""


def delay(failures: int, randomness: float, *, base: float = 0.1, most: float = 5.0) -> float:
    """Return the seconds to wait after ``failures`` failures in a row.

    Exponential backoff with jitter, which spreads the retries of many clients (Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015). The delay is at least half of the span, so that a lone client does not retry
    at once.

    Args:
        failures: at least 1.
        randomness: from 0 to 1.
        base: maximum delay after the first failure, in seconds.
        most: maximum delay after any number of failures, in seconds.
    """
    span = min(most, base * 2.0 ** min(failures - 1, 30))
    return span * (0.5 + 0.5 * randomness)
