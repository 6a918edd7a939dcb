"""The store's counters: numbers that only grow. Each write runs inside the writer's transaction."""

import sqlite3

from tandem_gateway.adapters.sqlite.schema import sealed_insert


def value(connection: sqlite3.Connection, counter: str) -> int:
    """Return a counter's value; 0 if the counter was never set."""
    found = connection.execute("SELECT value FROM counters WHERE name = ?", (counter,)).fetchone()
    return int(found[0]) if found else 0


def next_number(connection: sqlite3.Connection, counter: str) -> int:
    """Advance a counter and return it."""
    (advanced,) = connection.execute(
        "UPDATE counters SET value = value + 1, checksum = row_checksum(name, value + 1) "
        "WHERE name = ? RETURNING value",
        (counter,),
    ).fetchone()
    return int(advanced)


def set_value(connection: sqlite3.Connection, counter: str, number: int) -> None:
    """Set a counter; create it if it is new."""
    connection.execute(
        f"{sealed_insert('counters')} "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value, checksum = excluded.checksum",
        {"name": counter, "value": number},
    )
