"""Each table and each column of both schemas is decided on."""

import sqlite3
from pathlib import Path

from tandem_gateway.adapters.moving.tables import IN_POSTGRES, IN_SQLITE, TABLES
from tandem_gateway.adapters.postgres.connection import connect

# Columns that do not move under their own name; ``tables`` says why.
LEFT_IN_SQLITE = {
    "collections": {"failed_bytes"},
    "job_lists": {"bytes"},
    "document_formats": {"document_id", "format"},
    "document_sources": {"document_id", "source", "hash"},
    "counters": {"name", "value"},
    "identity": {"store_id"},
    "access": {"one"},
}
LEFT_IN_POSTGRES = {
    "store": {"one", "store_id", "mark"},
    "collections": {"last_document"},
    "job_lists": {"bytes", "doc_ids", "documents", "statuses", "reasons"},
    "access": {"one", "version"},
}
NOT_THERE = {"documents": {"format", "source", "hash"}, "spaces": {"truncated"}, "access": {"secret"}}
"""Columns of a row that are in another table or file of SQLite."""
MOVED = {table.name: set(table.columns) for table in TABLES}


def test_every_table_and_column_of_sqlite_is_decided_on(directory: Path):
    found: dict[str, set[str]] = {}
    for name in ("tandem.sqlite3", "access.db"):
        with sqlite3.connect(directory / name) as connection:
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                columns = connection.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchall()
                found[table] = {column for (column,) in columns} - {"checksum"}
    assert found.keys() == IN_SQLITE.keys()
    for table, columns in found.items():
        there = MOVED.get(table, set()) - NOT_THERE.get(table, set())
        assert columns == there | LEFT_IN_SQLITE.get(table, set()), table


def test_every_table_and_column_of_postgres_is_decided_on(url: str):
    found: dict[str, set[str]] = {}
    with connect(url) as connection:
        for table, column in connection.execute(
            "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public'"
        ):
            found.setdefault(table, set()).add(column)
    assert found.keys() == IN_POSTGRES.keys()
    for table in MOVED.keys() - {"store"}:
        entries = {"entries"} if table == "job_lists" else set()
        assert found[table] == MOVED[table] - entries | LEFT_IN_POSTGRES.get(table, set()), table
    of_store = {"commits", "last_change", "last_passage", "catalogue"}
    assert found["store"] == of_store | LEFT_IN_POSTGRES["store"]
