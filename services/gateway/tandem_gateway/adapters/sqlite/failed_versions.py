"""The statements that keep versions of documents that failed for good, and give them back to the queue.

A kept version is a row of ``failed_documents``, and its jobs are rows of ``failed_waiting``. A document has at most
one, and no pending version beside it: each later write of the document drops it. All the kept versions together have
a limit in bytes; the oldest are dropped first. Each function runs inside the writer's transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

from tandem_gateway.adapters.limits import FAILED_ENTRY_BYTES, Limits, check_retry, nothing_to_retry
from tandem_gateway.adapters.sqlite import job_documents, jobs, listing, reads, versions
from tandem_gateway.adapters.sqlite.counters import next_number
from tandem_gateway.adapters.sqlite.schema import CHECKSUMS, seal, sealed_insert
from tandem_gateway.filters.tree import EVERYTHING, Filter
from tandem_gateway.records.chunking import TextFormat
from tandem_gateway.records.documents import JobRetry, NewDocument
from tandem_gateway.records.job_documents import embedded_status

DROPPED_AT_ONCE: Final = 500
"""Maximum number of kept versions that one write drops: the other writes wait for it."""
BYTES_AT_ONCE: Final = 1_000_000
"""Maximum size of them, unless one is larger: the deleted pages are overwritten."""

_INSERT: Final = sealed_insert("failed_documents")
_VERSION: Final = (
    "SELECT d.text, d.metadata, d.content_hash, f.format, s.source, s.hash, "
    f"d.checksum IS {reads.DOCUMENT_CHECKSUM} "
    "AND (f.document_id IS NULL OR f.checksum IS row_checksum(f.document_id, f.format)) "
    "AND (s.document_id IS NULL OR s.checksum IS row_checksum(s.document_id, s.source, s.hash)) "
    "FROM documents d LEFT JOIN document_formats f ON f.document_id = d.document_id "
    "LEFT JOIN document_sources s ON s.document_id = d.document_id WHERE d.document_id = ?"
)
_RETRIABLE: Final = (
    "SELECT w.document_id, w.documents, d.live, coalesce(d.doc_id, f.doc_id) FROM failed_waiting w "
    "LEFT JOIN documents d ON d.document_id = w.document_id "
    "LEFT JOIN failed_documents f ON f.document_id = w.document_id "
    "JOIN collections c ON c.collection_id = coalesce(d.collection_id, f.collection_id) AND c.removed = 0 "
    "WHERE w.job_id = ? ORDER BY w.document_id"
)


def fail(
    connection: sqlite3.Connection, version: versions.PendingVersion, error: str, now: float, most_bytes: int
) -> None:
    """End a pending version that failed for good, and keep it for a retry of its jobs.

    A damaged version is not kept, and one larger than the limit neither.

    Args:
        connection: the writer's.
        version: the version.
        error: why it failed.
        now: seconds since the epoch.
        most_bytes: maximum size of all kept versions.
    """
    text, metadata, content_hash, text_format, source, given_hash, sound = connection.execute(
        _VERSION, (version.document_id,)
    ).fetchone()
    size = FAILED_ENTRY_BYTES + sum(len(each.encode()) for each in (version.doc_id, text, metadata, source or ""))
    kept = bool(sound) and size <= most_bytes
    if kept:
        values = {
            "document_id": version.document_id,
            "collection_id": version.collection_id,
            "doc_id": version.doc_id,
            "text": text,
            "metadata": metadata,
            "content_hash": content_hash,
            "format": text_format or "text",
            "source": source,
            "hash": given_hash,
            "failed_at": now,
            "bytes": size,
        }
        connection.execute(_INSERT, values)
        # The columns are those of the row in ``waiting``, and so is its checksum.
        connection.execute(
            "INSERT INTO failed_waiting SELECT document_id, job_id, documents, checksum FROM waiting "
            "WHERE document_id = ?",
            (version.document_id,),
        )
    else:
        _forget_waiting(connection, version.document_id)
    jobs.release_failed(connection, version.document_id, version.doc_id, error, now)
    versions.remove_failed(connection, version.collection_id, version.document_id)
    if kept:
        _trim(connection, most_bytes)


def retry(connection: sqlite3.Connection, job_id: str, now: float, limits: Limits) -> JobRetry | None:
    """Make the failed documents of a job wait again; see ``JobStore.retry``."""
    job = reads.job(connection, job_id)
    if job is None:
        return None
    check_retry(job)
    found: list[tuple[int, int, int | None, str]] = connection.execute(_RETRIABLE, (job_id,)).fetchall()
    if not found:
        raise nothing_to_retry(job)
    limits.check_pending(_pending(connection), sum(live is None for _, _, live, _ in found))
    retried = sum(documents for _, documents, _, _ in found)
    connection.execute(
        "UPDATE jobs SET processed = processed - :count, failed = failed - :count, finished_at = NULL, "
        "retried_at = :now WHERE job_id = :job_id",
        {"count": retried, "now": now, "job_id": job_id},
    )
    seal(connection, "jobs", "job_id", job_id)
    _forget_failures(connection, job_id, {doc_id for *_, doc_id in found})
    for document_id, documents, live, _ in found:
        of_job = (job_id, document_id)
        connection.execute("DELETE FROM job_outcomes WHERE job_id = ? AND document_id = ?", of_job)
        connection.execute("DELETE FROM failed_waiting WHERE job_id = ? AND document_id = ?", of_job)
        if live:  # the retry of another job has embedded it
            coverage = reads.coverage(connection, document_id)
            job_documents.end(connection, job_id, document_id, embedded_status(coverage))
            jobs.advance(connection, job_id, jobs.Progress.of(coverage) * documents, now)
            continue
        if live is None:
            _restore(connection, document_id)
        for _ in range(documents):
            jobs.wait(connection, document_id, job_id)
    next_number(connection, "retry")
    again = reads.job(connection, job_id)
    assert again is not None
    return JobRetry(again, retried, job.failed - retried)


def supersede(connection: sqlite3.Connection, collection_id: int, doc_id: str, condition: Filter = EVERYTHING) -> None:
    """Drop the kept version of a document, because another write of the document follows it.

    Nothing is dropped if there is no such version, or if it does not match the condition.
    """
    found = connection.execute(
        "SELECT document_id, metadata FROM failed_documents WHERE collection_id = ? AND doc_id = ?",
        (collection_id, doc_id),
    ).fetchone()
    if found is not None and listing.fits(condition, *found):
        _drop(connection, found[0])


def drop_unlisted(connection: sqlite3.Connection, collection_id: int, source: str, listed: Iterable[str]) -> None:
    """Drop the kept versions of a source's documents that are not listed."""
    rows = connection.execute(
        "SELECT document_id, doc_id FROM failed_documents WHERE collection_id = ? AND source = ?",
        (collection_id, source),
    ).fetchall()
    there = frozenset(listed)
    for document_id, doc_id in rows:
        if doc_id not in there:
            _drop(connection, document_id)


def forget(connection: sqlite3.Connection, before: float, most_bytes: int) -> tuple[int, bool]:
    """Drop versions that failed before a time, and the oldest of those over the limit.

    Args:
        connection: in a transaction.
        before: seconds since the epoch.
        most_bytes: maximum size of all kept versions.

    Returns:
        Number of dropped versions, and whether there are more to drop.
    """
    rows = connection.execute(
        "SELECT document_id, bytes FROM failed_documents WHERE failed_at < ? ORDER BY failed_at, document_id LIMIT ?",
        (before, DROPPED_AT_ONCE + 1),
    ).fetchall()
    some = _some(rows)
    for document_id in some:
        _drop(connection, document_id)
    if len(some) < len(rows):
        return len(some), True
    trimmed = _trim(connection, most_bytes)
    return len(some) + trimmed, trimmed == DROPPED_AT_ONCE


def forget_jobs(connection: sqlite3.Connection, job_ids: Iterable[str]) -> None:
    """Drop what is kept for jobs that are dropped."""
    for job_id in job_ids:
        rows = connection.execute("SELECT document_id FROM failed_waiting WHERE job_id = ?", (job_id,)).fetchall()
        connection.execute("DELETE FROM failed_waiting WHERE job_id = ?", (job_id,))
        for (document_id,) in rows:
            if connection.execute("SELECT 1 FROM failed_waiting WHERE document_id = ?", (document_id,)).fetchone():
                continue
            if connection.execute("SELECT 1 FROM failed_documents WHERE document_id = ?", (document_id,)).fetchone():
                _drop(connection, document_id)


def purge(connection: sqlite3.Connection, collection_id: int) -> bool:
    """Drop some kept versions of a deleted collection; return whether they were the last."""
    rows = connection.execute(
        "SELECT document_id, bytes FROM failed_documents WHERE collection_id = ? LIMIT ?",
        (collection_id, DROPPED_AT_ONCE + 1),
    ).fetchall()
    some = _some(rows)
    for document_id in some:
        _drop(connection, document_id)
    return len(some) == len(rows)


def any_kept(connection: sqlite3.Connection, collection_id: int) -> bool:
    """Return whether a collection has kept versions."""
    found = connection.execute("SELECT 1 FROM failed_documents WHERE collection_id = ? LIMIT 1", (collection_id,))
    return found.fetchone() is not None


def _trim(connection: sqlite3.Connection, most_bytes: int) -> int:
    """Drop the oldest versions while all exceed the limit, at most ``DROPPED_AT_ONCE``; return how many."""
    dropped = 0
    (size,) = connection.execute("SELECT coalesce(sum(failed_bytes), 0) FROM collections").fetchone()
    while size > most_bytes and dropped < DROPPED_AT_ONCE:
        document_id, freed = connection.execute(
            "SELECT document_id, bytes FROM failed_documents ORDER BY failed_at, document_id LIMIT 1"
        ).fetchone()
        _drop(connection, document_id)
        size -= freed
        dropped += 1
    return dropped


def _drop(connection: sqlite3.Connection, document_id: int) -> None:
    connection.execute("DELETE FROM failed_documents WHERE document_id = ?", (document_id,))
    _forget_waiting(connection, document_id)
    # A number without a document counts as a deleted document: the log gets rid of the text as soon.
    next_number(connection, "document")


def _forget_waiting(connection: sqlite3.Connection, document_id: int) -> None:
    connection.execute("DELETE FROM failed_waiting WHERE document_id = ?", (document_id,))


def _restore(connection: sqlite3.Connection, document_id: int) -> None:
    """Make a kept version the pending version of its document.

    Raises:
        StorageCorrupt: the kept version is not what was written.
    """
    row: tuple[Any, ...] = connection.execute(
        "SELECT collection_id, doc_id, text, metadata, content_hash, format, source, hash, "
        f"checksum IS {CHECKSUMS['failed_documents']} FROM failed_documents WHERE document_id = ?",
        (document_id,),
    ).fetchone()
    collection_id, doc_id, text, metadata, content_hash, text_format, source, given_hash, sound = row
    if not sound:
        raise reads.damaged("failed_documents", document_id)
    connection.execute("DELETE FROM failed_documents WHERE document_id = ?", (document_id,))
    document = NewDocument(
        doc_id,
        text,
        metadata,
        content_hash,
        format=cast(TextFormat, text_format),
        source=source,
        source_hash=given_hash,
    )
    versions.insert_pending(connection, collection_id, document, document_id)


def _forget_failures(connection: sqlite3.Connection, job_id: str, doc_ids: set[str]) -> None:
    """Delete the errors of documents that wait again, and number the others from 0, so that the next number is free."""
    rows = connection.execute(
        "SELECT doc_id, error FROM failures WHERE job_id = ? ORDER BY ordinal", (job_id,)
    ).fetchall()
    connection.execute("DELETE FROM failures WHERE job_id = ?", (job_id,))
    left = [row for row in rows if row[0] not in doc_ids]
    for ordinal, (doc_id, error) in enumerate(left):
        values = {"job_id": job_id, "ordinal": ordinal, "doc_id": doc_id, "error": error}
        connection.execute(jobs.INSERT_FAILURE, values)


def _pending(connection: sqlite3.Connection) -> int:
    (pending,) = connection.execute("SELECT coalesce(sum(pending), 0) FROM collections WHERE removed = 0").fetchone()
    return int(pending)


def _some(rows: Sequence[tuple[int, int]]) -> list[int]:
    """Return the first of these versions, with their sizes, that one write can drop; at least one."""
    size = 0
    for place, (_, of_version) in enumerate(rows):
        size += of_version
        if place == DROPPED_AT_ONCE or (place and size > BYTES_AT_ONCE):
            return [document_id for document_id, _ in rows[:place]]
    return [document_id for document_id, _ in rows]
