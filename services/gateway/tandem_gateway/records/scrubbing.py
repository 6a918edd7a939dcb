"""Results of the background scrub."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScrubPage:
    """The result of one step of the scrub.

    Attributes:
        rows: number of rows that the step read.
        damaged: (table, row) of the rows whose content is not what was written.
        complete: whether the step was the last of a pass over all rows.
    """

    rows: int
    damaged: list[tuple[str, int]]
    complete: bool
