"""Writes the rows of a PostgreSQL table with pgvector as JSON Lines, which ``tandem ingest`` reads.

It needs the package psycopg, and nothing of Tandem.

    python export_pgvector.py "postgresql://user@host/database" chunks --id id --text content > chunks.jsonl

Each line has ``id``, ``text`` and ``metadata``: the other columns, and the fields of the ones that hold JSON objects.
Columns of the types vector, halfvec, sparsevec and bytea stay behind, since Tandem embeds the texts by itself. A row
without a text is left out, and counted on standard error.

Exit status: 0 written, 1 the database refuses or does not answer, 2 a wrong argument.
"""

import argparse
import json
import sys
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

PAGE = 1_000
LEFT_BEHIND = {"vector", "halfvec", "sparsevec", "bytea", "tsvector"}


def main() -> int:
    """Run the command and return its exit status."""
    command = argparse.ArgumentParser(description="Write the rows of a PostgreSQL table as JSON Lines.")
    command.add_argument("database", metavar="URL", help="postgresql://…, without the +psycopg of SQLAlchemy")
    command.add_argument("table", help="name of the table, with its schema if that is not public: SCHEMA.TABLE")
    command.add_argument("--id", default="id", metavar="COLUMN", help="column of the id (default: id)")
    command.add_argument("--text", default="content", metavar="COLUMN", help="column of the text (default: content)")
    command.add_argument("--where", default="true", metavar="CONDITION", help="SQL condition that rows must meet")
    given = command.parse_args()
    try:
        written, left_out = export(given)
    except BrokenPipeError:  # the reader has ended, such as `head`
        return 1
    except psycopg.Error as error:
        print(f"export_pgvector: {given.table}: {str(error).strip()}", file=sys.stderr)
        return 1
    print(f"export_pgvector: {written} documents written, {left_out} without a text left out", file=sys.stderr)
    return 0


def export(given: argparse.Namespace) -> tuple[int, int]:
    """Write a table to standard output, in one transaction; return the numbers of rows written and left out."""
    written = left_out = 0
    table = sql.Identifier(*given.table.split(".", 1))
    with psycopg.connect(given.database, row_factory=dict_row) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        columns = [
            row["attname"]
            for row in connection.execute(
                "SELECT attname, typname FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid "
                "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                [table.as_string(connection)],
            )
            if row["typname"] not in LEFT_BEHIND
        ]
        for wanted in (given.id, given.text):
            if wanted not in columns:
                raise psycopg.ProgrammingError(f"there is no column {wanted!r} with a text, only {', '.join(columns)}")
        chosen = sql.SQL(", ").join(sql.Identifier(column) for column in columns)
        statement = sql.SQL("SELECT {} FROM {} WHERE {}").format(chosen, table, sql.SQL(given.where))
        with connection.cursor("export_pgvector") as cursor:  # a cursor on the server: the table does not fit in memory
            cursor.itersize = PAGE
            for row in cursor.execute(statement):
                id_, text = row.pop(given.id), row.pop(given.text)
                if not text:
                    left_out += 1
                    continue
                document = {"id": str(id_), "text": text, "metadata": metadata(row)}
                print(json.dumps(document, ensure_ascii=False, default=str))
                written += 1
    sys.stdout.flush()
    return written, left_out


def metadata(row: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of a row: its columns that are not null; a column with a JSON object gives its fields."""
    made: dict[str, Any] = {}
    for column, value in row.items():
        fields = value if isinstance(value, dict) else {column: value}
        made.update({name: each for name, each in fields.items() if each is not None})
    return made


if __name__ == "__main__":
    sys.exit(main())
