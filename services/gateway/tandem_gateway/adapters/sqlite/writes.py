"""The statements that change the store. Each function runs inside the writer's transaction."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from tandem_gateway.adapters.sqlite import jobs, reads
from tandem_gateway.adapters.sqlite.schema import seal
from tandem_gateway.errors import InvalidRequest, Overloaded
from tandem_gateway.records.documents import JobRecord, NewDocument

_INSERT_DOCUMENT = (
    "INSERT INTO documents (row_id, collection_id, doc_id, text, metadata, content_hash, change, vector, truncated, "
    "unknown, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, iif(?9 IS NULL, "
    "row_checksum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8), row_checksum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)))"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum sizes of the store."""

    collections: int
    pending_documents: int
    finished_jobs: int
    """Number of finished jobs to keep; the store may hold a few more until the next cleanup."""


def next_number(connection: sqlite3.Connection, counter: str) -> int:
    """Advance a counter and return it."""
    (value,) = connection.execute(
        "UPDATE counters SET value = value + 1, checksum = row_checksum(name, value + 1) "
        "WHERE name = ? RETURNING value",
        (counter,),
    ).fetchone()
    return int(value)


def accept(
    connection: sqlite3.Connection,
    job_id: str,
    collection: str,
    documents: Sequence[NewDocument],
    now: float,
    limits: Limits,
) -> JobRecord:
    """Store documents and their job; see ``DocumentStore.accept``."""
    (pending,) = connection.execute("SELECT coalesce(sum(pending), 0) FROM collections").fetchone()
    if pending + len(documents) > limits.pending_documents:
        raise Overloaded(
            f"documents: {pending} wait to be embedded and {len(documents)} more would exceed the limit of "
            f"{limits.pending_documents} (TANDEM_MAX_PENDING_DOCUMENTS)",
            retry_after=30,
        )
    collection_id = _collection_id(connection, collection, limits.collections)
    connection.execute(
        "INSERT INTO jobs (job_id, collection, total, processed, unchanged, failed, created_at) "
        "VALUES (?, ?, ?, 0, 0, 0, ?)",
        (job_id, collection, len(documents), now),
    )
    done = jobs.Progress()
    for document in documents:
        pending_row, live_row = reads.versions(connection, collection_id, document.doc_id)
        newest = pending_row or live_row
        if newest is not None and newest.content_hash == document.content_hash:
            if newest is live_row:
                done += jobs.Progress.of(newest.coverage, unchanged=1)
            else:
                jobs.wait(connection, newest.row_id, job_id)
            continue
        if pending_row is not None:
            _drop_pending(connection, pending_row.row_id, now)
        if live_row is not None and live_row.text == document.text:
            # Only the metadata is new: the vector stays valid.
            _replace_live(connection, collection_id, document, live_row)
            done += jobs.Progress.of(live_row.coverage)
            continue
        row_id = next_number(connection, "row")
        connection.execute(
            _INSERT_DOCUMENT,
            (
                row_id,
                collection_id,
                document.doc_id,
                document.text,
                document.metadata,
                document.content_hash,
                None,
                None,
                None,
                None,
            ),
        )
        jobs.wait(connection, row_id, job_id)
    jobs.advance(connection, job_id, done, now)
    job = reads.job(connection, job_id)
    assert job is not None
    return job


def delete(connection: sqlite3.Connection, collection: str, doc_id: str, now: float) -> bool:
    """Delete all versions of a document; see ``DocumentStore.delete``."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return False
    pending_row, live_row = reads.versions(connection, record.collection_id, doc_id)
    if pending_row is not None:
        _drop_pending(connection, pending_row.row_id, now)
    if live_row is not None:
        remove_live(connection, record.collection_id, live_row.row_id)
    return pending_row is not None or live_row is not None


def delete_collection(connection: sqlite3.Connection, collection: str, now: float) -> bool:
    """Delete a collection; see ``DocumentStore.delete_collection``. The store never reuses its number."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return False
    # Set-based statements: a million documents may be pending, and every other write waits for this one.
    waiting = (
        "FROM waiting WHERE row_id IN (SELECT row_id FROM documents WHERE collection_id = ? AND change IS NULL)",
        (record.collection_id,),
    )
    waited = connection.execute(f"SELECT job_id, sum(documents) {waiting[0]} GROUP BY job_id", waiting[1]).fetchall()
    connection.execute(f"DELETE {waiting[0]}", waiting[1])
    for job_id, documents in waited:
        jobs.advance(connection, job_id, jobs.Progress(processed=documents), now)
    for statement in (
        "DELETE FROM documents WHERE collection_id = ?",
        "DELETE FROM tombstones WHERE collection_id = ?",
        "DELETE FROM collections WHERE collection_id = ?",
    ):
        connection.execute(statement, (record.collection_id,))
    # A new change number makes the indexes notice the deletion.
    next_number(connection, "change")
    return True


def set_counter(connection: sqlite3.Connection, name: str, value: int) -> None:
    """Set a counter; create it if it is new."""
    connection.execute(
        "INSERT INTO counters (name, value, checksum) VALUES (?1, ?2, row_checksum(?1, ?2)) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value, checksum = excluded.checksum",
        (name, value),
    )


def _collection_id(connection: sqlite3.Connection, name: str, limit: int) -> int:
    record = reads.collection_by_name(connection, name)
    if record is not None:
        return record.collection_id
    (count,) = connection.execute("SELECT count(*) FROM collections").fetchone()
    if count >= limit:
        raise InvalidRequest(
            f"collection: there are {count} collections already, the limit is {limit} (TANDEM_MAX_COLLECTIONS)",
            param="collection",
            code="limit_exceeded",
        )
    return create_collection(connection, name)


def create_collection(connection: sqlite3.Connection, name: str) -> int:
    """Make an empty collection and return its number."""
    collection_id = next_number(connection, "collection")
    connection.execute("INSERT INTO collections (collection_id, name) VALUES (?, ?)", (collection_id, name))
    seal(connection, "collections", "collection_id", collection_id)
    return collection_id


def _replace_live(
    connection: sqlite3.Connection, collection_id: int, document: NewDocument, old: reads.Version
) -> None:
    """Replace a live row with one of the same text and new metadata; reuse its vector."""
    remove_live(connection, collection_id, old.row_id)
    connection.execute(
        _INSERT_DOCUMENT,
        (
            next_number(connection, "row"),
            collection_id,
            document.doc_id,
            document.text,
            document.metadata,
            document.content_hash,
            next_number(connection, "change"),
            old.vector,
            old.truncated,
            old.unknown,
        ),
    )


def remove_live(connection: sqlite3.Connection, collection_id: int, row_id: int) -> None:
    """Delete a live row and leave its tombstone."""
    connection.execute("DELETE FROM documents WHERE row_id = ?", (row_id,))
    connection.execute(
        "INSERT INTO tombstones (collection_id, change, row_id, checksum) "
        "VALUES (?1, ?2, ?3, row_checksum(?1, ?2, ?3))",
        (collection_id, next_number(connection, "change"), row_id),
    )


def _drop_pending(connection: sqlite3.Connection, row_id: int, now: float) -> None:
    """Remove a pending row that a newer version or a deletion made obsolete; its jobs count it as processed."""
    jobs.release(connection, row_id, jobs.Progress(processed=1), now)
    connection.execute("DELETE FROM documents WHERE row_id = ?", (row_id,))
