"""What the tables of the store have in common: the checksums of their rows, and SQL functions.

``migrations`` defines the tables:

- A version of a document is a row of ``documents``. A document id has at most two rows. Search finds the live row. The
  pending row has passages without a vector, and will replace the live row.
- A passage is a span of a document version. Its id is its key in the index of vectors and is never reused. The first
  passage of a version also stands for the whole version: in the keyword index, in the filter index and in rankings.
- A vector belongs to a passage and a space. A space holds the vectors of one collection by one model.

The store has one sequence of change numbers. ``vectors.change`` is the number at which an index gets a vector. A
removed passage leaves a row in ``removals`` with a number of the same sequence. Two range scans therefore find all
changes after number N.

Each row carries a checksum of its other columns, because SQLite detects a damaged page structure but no damaged value.
``check`` reads all of them, and ``scrub`` those of documents and vectors while the gateway runs. What is derived from a
row, such as an index, is derived from checked rows only. A search does not check what it reads.
"""

import sqlite3
import zlib

import msgspec

APPLICATION_ID = 0x54_4E_44_4D  # "TNDM"

CHECKSUMS = {
    "counters": "row_checksum(name, value)",
    "identity": "row_checksum(store_id)",
    # Without live and pending, which are derived values; ``check`` recounts them.
    "collections": "row_checksum(collection_id, name, removal_floor, removed, chunking, language)",
    "spaces": "row_checksum(space_id, collection_id, state, fingerprint, model, dim, last_change)",
    # Without live, so that the checksum stays valid when a document goes live. An index repeats it, and SQLite's
    # integrity check compares them.
    "documents": "row_checksum(document_id, collection_id, doc_id, text, metadata, content_hash)",
    "document_formats": "row_checksum(document_id, format)",
    "document_sources": "row_checksum(document_id, source, hash)",
    "passages": "row_checksum(passage_id, document_id, ordinal, start, stop)",
    "vectors": "row_checksum(passage_id, space_id, change, vector, truncated, unknown)",
    "removals": "row_checksum(collection_id, change, passage_id)",
    "followers": "row_checksum(collection_id, follower, position)",
    "jobs": "row_checksum(job_id, collection, total, processed, unchanged, failed, created_at, started_at, "
    "finished_at, truncated, unreadable, idempotency_key, request_hash, cancelled, skipped, retried_at)",
    "waiting": "row_checksum(document_id, job_id, documents)",
    "failed_documents": "row_checksum(document_id, collection_id, doc_id, text, metadata, content_hash, format, "
    "source, hash, failed_at, bytes)",
    "failed_waiting": "row_checksum(document_id, job_id, documents)",
    "failures": "row_checksum(job_id, ordinal, doc_id, error)",
    "job_lists": "row_checksum(job_id, place, bytes, entries)",
    "job_outcomes": "row_checksum(job_id, document_id, status, reason)",
}
"""Table → SQL expression of its rows' checksum; the single definition for writing and checking."""


def sealed_insert(table: str, *unsealed: str) -> str:
    """Return the statement that inserts a row with its checksum; a parameter has the name of its column.

    Args:
        table: whose columns the checksum covers.
        unsealed: further columns, which the checksum does not cover.
    """
    sealed = CHECKSUMS[table].removeprefix("row_checksum(").removesuffix(")").split(", ")
    columns = [*sealed, *unsealed]
    values = ", ".join(f":{column}" for column in columns)
    checksum = f"row_checksum({', '.join(f':{column}' for column in sealed)})"
    return f"INSERT INTO {table} ({', '.join(columns)}, checksum) VALUES ({values}, {checksum})"


_Value = str | bytes | int | float | None
_encode = msgspec.msgpack.Encoder().encode


def row_checksum(*values: _Value) -> int:
    """Return the CRC-32 of a row as MessagePack, which encodes types and lengths: different rows never encode alike."""
    return zlib.crc32(_encode(values))


def register(connection: sqlite3.Connection) -> None:
    """Register the SQL function ``row_checksum`` on this connection."""
    connection.create_function("row_checksum", -1, row_checksum, deterministic=True)


def seal(connection: sqlite3.Connection, table: str, key: str, value: int | str) -> None:
    """Update the checksum of each row whose column ``key`` has this value."""
    connection.execute(f"UPDATE {table} SET checksum = {CHECKSUMS[table]} WHERE {key} = ?", (value,))
