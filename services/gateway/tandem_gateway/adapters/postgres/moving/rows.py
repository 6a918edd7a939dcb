"""Reads the tables of a store in PostgreSQL as ``adapters.moving.tables`` has them."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from tandem_gateway.adapters.moving.digests import Row
from tandem_gateway.adapters.moving.numbers import BITS, MAX_NUMBER, Numbering, numbering
from tandem_gateway.adapters.moving.tables import DOCUMENTS, JOB_LISTS, STORE, Table
from tandem_gateway.adapters.postgres.connection import Connection

LIST_COLUMNS: Final = {"doc_ids": "text[]", "documents": "int8[]", "statuses": "text[]", "reasons": "text[]"}
"""The columns that hold the entries of ``job_lists``."""

_COLUMNS: Final = {
    (DOCUMENTS.name, "hash"): "CASE WHEN source IS NOT NULL THEN hash END",
    (JOB_LISTS.name, "entries"): ", ".join(LIST_COLUMNS),
}
_NUMBERS: Final = """
SELECT collection_id, last_document FROM collections
UNION ALL
SELECT x.number >> %(bits)s, max(x.number & %(mask)s) FROM (
    SELECT document_id FROM job_outcomes UNION ALL SELECT document_id FROM failed_waiting
    UNION ALL SELECT unnest(documents) FROM job_lists) x (number)
  WHERE x.number IS NOT NULL GROUP BY 1
"""
_STORE: Final = """
SELECT commits, last_change, last_passage, catalogue,
       (SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM collections_collection_id_seq),
       (SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM spaces_space_id_seq)
  FROM store
"""


class PostgresRows:
    """Reads a store that nobody changes meanwhile, on a connection in a transaction."""

    def __init__(self, connection: Connection, *, renumber: bool) -> None:
        """Read a store; ``renumber`` gives documents the numbers that they get in SQLite."""
        self._connection = connection
        self._numbering = self._read_numbering() if renumber else None

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield the rows of a table."""
        if table is STORE:
            return iter([self._store()])
        if table is JOB_LISTS:
            return map(self._list, self._copied(table))
        if self._numbering is None or "document_id" not in table.columns:
            return self._copied(table)
        return map(_renumbering(list(table.columns).index("document_id"), self._numbering), self._copied(table))

    def _copied(self, table: Table) -> Iterator[Row]:
        columns = ", ".join(_COLUMNS.get((table.name, column), column) for column in table.columns)
        statement = f"COPY (SELECT {columns} FROM {table.name}) TO STDOUT (FORMAT BINARY)"
        with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.set_types(copied_types(table))
            yield from copy.rows()

    def _store(self) -> Row:
        row = self._connection.execute(_STORE).fetchone()
        assert row is not None
        if self._numbering is not None:
            last = self._numbering.last
        else:
            moved = self._connection.execute("SELECT documents FROM moved").fetchone()
            assert moved is not None
            (last,) = moved
        return (*row[:4], last, *row[4:])

    def _list(self, row: Row) -> Row:
        list_id, job_id, place, *columns = row
        number_of: Callable[[int], int] = self._numbering.of if self._numbering is not None else int
        entries = tuple(
            (doc_id, None if number is None else number_of(number), status, reason)
            for doc_id, number, status, reason in zip(*columns, strict=True)
        )
        return list_id, job_id, place, entries

    def _read_numbering(self) -> Numbering:
        moved = self._connection.execute("SELECT documents, collections FROM moved").fetchone() or (0, 0)
        unique, collections = moved
        last: dict[int, int] = {}
        for collection, number in self._connection.execute(_NUMBERS, {"bits": BITS, "mask": MAX_NUMBER}):
            last[collection] = max(number, last.get(collection, 0))
        return numbering(unique, collections, last)


def copied_types(table: Table) -> list[str]:
    """Return the types of the columns that a copy of a table has."""
    if table is JOB_LISTS:
        kept = [kind for column, kind in table.columns.items() if column != "entries"]
        return [*kept, *LIST_COLUMNS.values()]
    return list(table.columns.values())


def _renumbering(place: int, given: Numbering) -> Callable[[Row], Row]:
    def renumber(row: Row) -> Row:
        values: list[Any] = list(row)
        values[place] = given.of(values[place])
        return tuple(values)

    return renumber
