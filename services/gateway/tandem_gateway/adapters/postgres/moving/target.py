"""An empty store in PostgreSQL as the target of a move."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from tandem_gateway.adapters.limits import LIST_ENTRY_BYTES
from tandem_gateway.adapters.moving.digests import Row
from tandem_gateway.adapters.moving.tables import ACCESS, IN_POSTGRES, JOB_LISTS, STORE, Table
from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.adapters.postgres.moving.rows import LIST_COLUMNS, PostgresRows, copied_types

# What a new store has of its own.
_EMPTIED: Final = ("followers", "spaces", "owner_turns", "collections", "marks")
_NUMBER_BYTES: Final = 8

_DERIVED: Final = (
    # A deleted collection serves from no space: all passages of its pending documents count as waiting until it goes.
    """
    INSERT INTO pending (document_id, ordinal, passage_id)
      SELECT p.document_id, p.ordinal, p.passage_id FROM documents d JOIN passages p ON p.document_id = d.document_id
        LEFT JOIN spaces s ON s.collection_id = d.collection_id AND s.state = 'serving'
        WHERE NOT d.live
          AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.passage_id = p.passage_id AND v.space_id = s.space_id)
    """,
    "INSERT INTO owner_turns (collection_id, owner) SELECT collection_id, '' FROM collections",
    "INSERT INTO marks (commit, mark) SELECT commits, mark FROM store",
    "UPDATE collections SET last_document = (SELECT documents FROM moved)",
    "SELECT setval('job_lists_list_id_seq', greatest(n, 1), n > 0) FROM (SELECT max(list_id) FROM job_lists) x (n)",
    "SELECT setval('keys_number_seq', greatest(n, 1), n > 0) FROM (SELECT max(number) FROM keys) x (n)",
)


class PostgresTarget:
    """A store that nobody else can write, on a connection in a transaction."""

    def __init__(self, connection: Connection) -> None:
        """Remove what a new store has of its own."""
        self._connection = connection
        self._rows = PostgresRows(connection, renumber=False)
        for table in _EMPTIED:
            connection.execute(f"DELETE FROM {table}".encode())

    @property
    def store_id(self) -> str:
        """The id of the store."""
        row = self._connection.execute("SELECT store_id FROM store").fetchone()
        assert row is not None
        return str(row[0])

    def load(self, table: Table, rows: Iterable[Row]) -> None:
        """Store the rows of a table."""
        if table is STORE:
            for row in rows:
                self._load_store(row)
        elif table is ACCESS:
            for row in rows:
                self._connection.execute("UPDATE access SET enabled = %s, secret = %b, version = version + 1", row)
        elif table is JOB_LISTS:
            columns = ["list_id", "job_id", "place", *LIST_COLUMNS, "bytes"]
            self._copy(table, columns, [*copied_types(table), "int8"], map(_list, rows))
        else:
            self._copy(table, list(table.columns), copied_types(table), rows)

    def complete(self) -> None:
        """Make the rows that SQLite does not have, and give the planner statistics."""
        for statement in _DERIVED:
            self._connection.execute(statement.encode())
        names = ", ".join(name for name in IN_POSTGRES if name not in ("schema_version", "moved"))
        self._connection.execute(f"ANALYZE {names}".encode())

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield the rows of a table."""
        return self._rows.rows(table)

    def finish(self) -> None:
        """Let gateways serve the store from the end of the transaction on."""
        self._connection.execute("UPDATE moved SET finished_at = clock_timestamp()")

    def _copy(self, table: Table, columns: list[str], types: list[str], rows: Iterable[Row]) -> None:
        statement = f"COPY {table.name} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
        with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    def _load_store(self, row: Row) -> None:
        commits, change, passage, catalogue, document, collection, space = row
        self._connection.execute(
            "UPDATE store SET store_id = replace(gen_random_uuid()::text, '-', ''), mark = gen_random_uuid(), "
            "commits = %s, last_change = %s, last_passage = %s, catalogue = %s",
            (commits, change, passage, catalogue),
        )
        self._connection.execute("UPDATE moved SET documents = %s, collections = %s", (document, collection))
        for sequence, value in (("collections_collection_id_seq", collection), ("spaces_space_id_seq", space)):
            self._connection.execute("SELECT setval(%s, %s, %s)", (sequence, max(value, 1), value > 0))


def _list(row: Row) -> Row:
    """Return the row of a list of documents as the database has it; see ``accept_v1``."""
    list_id, job_id, place, entries = row
    columns: list[list[Any]] = [list(column) for column in zip(*entries, strict=True)] or [[] for _ in LIST_COLUMNS]
    doc_ids, _, statuses, reasons = columns
    texts = sum(len(text.encode()) for text in (*doc_ids, *statuses, *reasons) if text is not None)
    return list_id, job_id, place, *columns, texts + (LIST_ENTRY_BYTES + _NUMBER_BYTES) * len(entries)
