"""Reads the tables of a store in SQLite as ``adapters.moving.tables`` has them."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from tandem_gateway.adapters.moving.digests import Row
from tandem_gateway.adapters.moving.numbers import BITS
from tandem_gateway.adapters.moving.tables import (
    ACCESS,
    DOCUMENTS,
    FAILED_DOCUMENTS,
    FAILED_WAITING,
    JOB_LISTS,
    JOB_OUTCOMES,
    KEYS,
    PASSAGES,
    SPACES,
    STORE,
    USAGE,
    VECTORS,
    WAITING,
    Table,
)
from tandem_gateway.adapters.sqlite import counters

OF_KEYS: Final = frozenset({ACCESS.name, KEYS.name, USAGE.name})
"""Tables that are in ``access.db``."""

# For a version that is gone: what names it belongs to the same job, and gives it the same number.
_OF_JOB: Final = (
    "(SELECT c.collection_id FROM jobs j JOIN collections c ON c.name = j.collection WHERE j.job_id = {job})"
)
_OF_VERSION: Final = (
    "coalesce((SELECT d.collection_id FROM documents d WHERE d.document_id = {number}), "
    "(SELECT f.collection_id FROM failed_documents f WHERE f.document_id = {number}), " + _OF_JOB + ", 0)"
)
_OF_DOCUMENT: Final = "(SELECT d.collection_id FROM documents d WHERE d.document_id = t.document_id)"
_IN_JOB: Final = _OF_VERSION.format(number="t.document_id", job="t.job_id")
_COLLECTION: Final = {
    DOCUMENTS.name: "t.collection_id",
    PASSAGES.name: _OF_DOCUMENT,
    WAITING.name: _OF_DOCUMENT,
    FAILED_DOCUMENTS.name: "t.collection_id",
    FAILED_WAITING.name: _IN_JOB,
    JOB_OUTCOMES.name: _IN_JOB,
}
"""Table → SQL expression of the collection of ``document_id``."""

_COLUMNS: Final = {
    (DOCUMENTS.name, "format"): "coalesce(o.format, 'text')",
    (DOCUMENTS.name, "source"): "s.source",
    (DOCUMENTS.name, "hash"): "s.hash",
    (SPACES.name, "truncated"): (
        "coalesce((SELECT value FROM counters WHERE name = 'truncated in space ' || t.space_id), 0)"
    ),
}
"""Columns that are in another table."""
_JOINS: Final = {
    DOCUMENTS.name: " LEFT JOIN document_formats o USING (document_id) LEFT JOIN document_sources s USING (document_id)"
}
# The order of the key, so that no table is sorted.
_ORDER: Final = {DOCUMENTS.name: "t.document_id", PASSAGES.name: "t.passage_id", VECTORS.name: "t.rowid"}
_COUNTERS: Final = ("commit", "change", "passage", "catalogue", "document", "collection", "space")

_decode: Final = msgspec.msgpack.Decoder(list[list[Any]]).decode


class SqliteRows:
    """Reads a store whose connections are in read transactions, or that nobody else has open."""

    def __init__(
        self, store: sqlite3.Connection, keys: sqlite3.Connection | None, secret: bytes | None, *, renumber: bool
    ) -> None:
        """Read a store.

        Args:
            store: of ``tandem.sqlite3``.
            keys: of ``access.db``; None if there is no such file.
            secret: of the API keys; None if there is none.
            renumber: give documents the numbers that they get in PostgreSQL.
        """
        self._store = store
        self._keys = keys
        self._secret = secret
        self._renumber = renumber

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield the rows of a table."""
        if table is STORE:
            return iter([tuple(counters.value(self._store, name) for name in _COUNTERS)])
        if table is JOB_LISTS:
            return self._job_lists()
        if table.name in OF_KEYS:
            return self._of_keys(table)
        return _converted(table, self._store.execute(self._select(table)))

    def _select(self, table: Table) -> str:
        columns = {column: _COLUMNS.get((table.name, column), f"t.{column}") for column in table.columns}
        if self._renumber and "document_id" in columns:
            columns["document_id"] = f"({_COLLECTION[table.name]} << {BITS}) | t.document_id"
        order = f" ORDER BY {_ORDER[table.name]}" if table.name in _ORDER else ""
        return f"SELECT {', '.join(columns.values())} FROM {table.name} t{_JOINS.get(table.name, '')}{order}"

    def _of_keys(self, table: Table) -> Iterator[Row]:
        if table is ACCESS:
            enabled = self._secret is not None
            if self._keys is not None:
                enabled = bool(self._keys.execute("SELECT enabled FROM access").fetchone()[0])
            return iter([(enabled, self._secret)])
        if self._keys is None:
            return iter(())
        return _converted(table, self._keys.execute(f"SELECT {', '.join(table.columns)} FROM {table.name}"))

    def _job_lists(self) -> Iterator[Row]:
        lists = self._store.execute("SELECT list_id, job_id, place, entries FROM job_lists ORDER BY list_id")
        for list_id, job_id, place, encoded in lists:
            entries = _decode(encoded)
            renumbered = self._renumbered(job_id, [entry[1] for entry in entries if isinstance(entry[1], int)])
            yield (
                list_id,
                job_id,
                place,
                tuple(
                    (entry[0], renumbered[entry[1]], None, None)
                    if isinstance(entry[1], int)
                    else (entry[0], None, entry[1], entry[2] if len(entry) > 2 else None)
                    for entry in entries
                ),
            )

    def _renumbered(self, job_id: str, numbers: list[int]) -> dict[int, int]:
        """Return the numbers of a job's versions."""
        if not self._renumber:
            return {number: number for number in numbers}
        statement = f"SELECT value, {_OF_VERSION.format(number='value', job=':job')} FROM json_each(:numbers)"
        found = self._store.execute(statement, {"job": job_id, "numbers": json.dumps(numbers)})
        return {number: collection << BITS | number for number, collection in found}


def _converted(table: Table, rows: Iterator[Row]) -> Iterator[Row]:
    """Return rows whose booleans are such; SQLite has numbers."""
    places = [place for place, kind in enumerate(table.columns.values()) if kind == "bool"]
    if not places:
        return rows
    return map(_to_booleans(places), rows)


def _to_booleans(places: list[int]) -> Callable[[Row], Row]:
    def convert(row: Row) -> Row:
        values = list(row)
        for place in places:
            if values[place] is not None:
                values[place] = bool(values[place])
        return tuple(values)

    return convert
