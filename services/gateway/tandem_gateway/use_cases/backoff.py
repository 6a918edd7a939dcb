"""How long to wait before another try: pure, with the random number as an argument."""


def delay(failures: int, randomness: float, *, base: float = 0.1, most: float = 5.0) -> float:
    """Return the seconds to wait after ``failures`` failures in a row.

    Exponential with full jitter, which spreads the tries of many clients (Brooker, "Exponential Backoff And Jitter",
    AWS Architecture Blog, 2015), over a floor of half the span so that a lone client does not try at once.

    Args:
        failures: at least 1.
        randomness: from 0 to 1.
        base: seconds after the first failure, at the most.
        most: seconds that are never exceeded.
    """
    span = min(most, base * 2.0 ** min(failures - 1, 30))
    return span * (0.5 + 0.5 * randomness)
