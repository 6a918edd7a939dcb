"""Lines for the log about what a start did."""


class RoutineNotice(str):
    """A line about a start that tells of something done, and of no damage."""

    __slots__ = ()
