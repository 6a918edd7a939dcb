"""The usage of callers by day, in ``access.db``."""

import sqlite3
from collections.abc import Mapping
from typing import Final

from tandem_gateway.ports.keys import MAX_CALLERS, OTHERS
from tandem_gateway.records.access import Usage, UsageKey

TABLE: Final = (
    "CREATE TABLE usage (day INTEGER NOT NULL, caller TEXT NOT NULL, requests INTEGER NOT NULL, tokens INTEGER "
    "NOT NULL, documents INTEGER NOT NULL, PRIMARY KEY (day, caller)) STRICT, WITHOUT ROWID"
)


def add(connection: sqlite3.Connection, used: Mapping[UsageKey, Usage]) -> None:
    """Add to the usage; see ``KeyStore.add_usage``."""
    for (day, caller), usage in used.items():
        counts = (usage.requests, usage.tokens, usage.documents)
        if not _add_to(connection, day, caller, counts):
            (callers,) = connection.execute("SELECT count(*) FROM usage WHERE day = ?", (day,)).fetchone()
            name = caller if callers < MAX_CALLERS else OTHERS
            if name == caller or not _add_to(connection, day, name, counts):
                connection.execute("INSERT INTO usage VALUES (?, ?, ?, ?, ?)", (day, name, *counts))


def read(
    connection: sqlite3.Connection, first: int, last: int, caller: str | None, limit: int
) -> dict[UsageKey, Usage]:
    """Return the usage of some days; see ``KeyStore.usage``."""
    rows = connection.execute(
        "SELECT day, caller, requests, tokens, documents FROM usage WHERE day BETWEEN ? AND ? "
        "AND (? IS NULL OR caller = ?) ORDER BY day, caller LIMIT ?",
        (first, last, caller, caller, limit),
    )
    return {(day, name): Usage(*counts) for day, name, *counts in rows}


def forget(connection: sqlite3.Connection, before: int) -> None:
    """Forget the usage of the days before this one."""
    connection.execute("DELETE FROM usage WHERE day < ?", (before,))


def _add_to(connection: sqlite3.Connection, day: int, caller: str, counts: tuple[int, int, int]) -> bool:
    """Add to a row; return whether it exists."""
    statement = (
        "UPDATE usage SET requests = requests + ?, tokens = tokens + ?, documents = documents + ? "
        "WHERE day = ? AND caller = ?"
    )
    return connection.execute(statement, (*counts, day, caller)).rowcount > 0
