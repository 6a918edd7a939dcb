"""Reads of several statements that see one state of the store."""

from collections.abc import Callable
from typing import Final, TypeVar

from tandem_gateway.adapters.postgres.connection import Connection

R = TypeVar("R")

BEGIN: Final = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = off; SET LOCAL "
    "enable_bitmapscan = off; "
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off"
)
"""Begins a transaction that sees one state. Pages follow the order of an index: without statistics, PostgreSQL would
rather read and sort all that is left, for each page."""


def one_state(read: Callable[[Connection], R]) -> Callable[[Connection], R]:
    """Return a read whose statements all see the state of the store at the first of them."""

    def run(connection: Connection) -> R:
        connection.execute(BEGIN, prepare=False)
        try:
            return read(connection)
        finally:
            if not connection.closed:
                connection.execute("ROLLBACK")

    return run
