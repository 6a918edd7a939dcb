"""Log lines about the work of a startup."""


class RoutineNotice(str):
    """A startup log line that reports routine work, not a repair."""

    __slots__ = ()
