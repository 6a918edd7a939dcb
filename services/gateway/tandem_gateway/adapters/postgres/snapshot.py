"""Reads of several statements that see one state of the store."""

from collections.abc import Callable
from typing import TypeVar

from tandem_gateway.adapters.postgres.connection import Connection

R = TypeVar("R")


def one_state(read: Callable[[Connection], R]) -> Callable[[Connection], R]:
    """Return a read whose statements all see the state of the store at the first of them."""

    def run(connection: Connection) -> R:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            return read(connection)
        finally:
            if not connection.closed:
                connection.execute("ROLLBACK")

    return run
