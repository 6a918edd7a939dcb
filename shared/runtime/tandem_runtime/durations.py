"""Durations in messages for people."""


def duration(seconds: float) -> str:
    """Return a duration such as ``0.8 ms``, ``60 ms`` or ``30 s``: below a second in milliseconds.

    A negative one, of a deadline that has passed, is ``0 ms``.
    """
    milliseconds = max(0.0, 1000 * seconds)
    if milliseconds >= 999.5:
        return f"{round(seconds, 2):g} s"
    return f"{round(milliseconds, 1 if milliseconds < 10 else 0):g} ms"
