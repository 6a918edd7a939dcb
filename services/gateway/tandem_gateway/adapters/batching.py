"""Decides how many rows form a batch, by their size in bytes."""

from collections.abc import Callable, Iterable
from typing import TypeVar

R = TypeVar("R")


def first_within(rows: Iterable[R], bytes_of: Callable[[R], int], max_bytes: int) -> list[R]:
    """Return the first rows that together have at most ``max_bytes`` bytes.

    The result always includes the first row: a row above the limit forms a batch of its own. The function reads no row
    after the first one that does not fit.

    Args:
        rows: in order.
        bytes_of: returns the size of a row in bytes.
        max_bytes: maximum sum of the sizes.
    """
    found: list[R] = []
    taken = 0
    for row in rows:
        taken += bytes_of(row)
        if found and taken > max_bytes:
            break
        found.append(row)
    return found
