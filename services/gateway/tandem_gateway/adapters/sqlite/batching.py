"""How many rows make one batch: a number of rows and a number of bytes, whichever is reached first."""

from collections.abc import Callable, Iterable
from typing import TypeVar

R = TypeVar("R")


def first_within(rows: Iterable[R], bytes_of: Callable[[R], int], most_bytes: int) -> list[R]:
    """Return the first rows that together have at most ``most_bytes`` bytes.

    The first row is always among them: a row that is larger than the limit makes a batch of its own. No row is read
    after the one that does not fit.

    Args:
        rows: in order.
        bytes_of: returns the size of a row.
        most_bytes: see above.
    """
    found: list[R] = []
    taken = 0
    for row in rows:
        taken += bytes_of(row)
        if found and taken > most_bytes:
            break
        found.append(row)
    return found
