"""The migrations: numbered SQL scripts. Script N upgrades a store from schema version N - 1 to version N.

A new store runs all scripts, so that it has the same tables as an upgraded one. A released script never changes:
SQLite keeps the text of each statement, and ``check`` compares it.

A line of a script has a ``;`` only at the end of a statement, or within a trigger. The scripts may call the functions
that ``schema.register`` adds.
"""

import sqlite3
from importlib import resources


def _scripts() -> tuple[str, ...]:
    files = sorted(each.name for each in resources.files(__name__).iterdir() if each.name.endswith(".sql"))
    assert [int(name[:4]) for name in files] == list(range(1, len(files) + 1)), files
    return tuple(resources.files(__name__).joinpath(name).read_text("utf-8") for name in files)


SCRIPTS = _scripts()
"""The scripts in order; the first one upgrades an empty database to version 1."""

VERSION = len(SCRIPTS)
"""The schema version that this release reads and writes."""


def statements(script: str) -> list[str]:
    """Split a script into its statements, because ``executescript`` would commit the open transaction."""
    found: list[str] = []
    current = ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            found.append(current.strip())
            current = ""
    return found


def run(connection: sqlite3.Connection, version: int) -> None:
    """Run the script that upgrades to ``version``, within the open transaction."""
    for statement in statements(SCRIPTS[version - 1]):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={version}")
