"""The statements that record the progress of jobs. Each function runs inside the writer's transaction."""

import sqlite3
from dataclasses import dataclass
from typing import Self

from tandem_gateway.adapters.limits import MAX_ERROR_CHARS, MAX_KEPT_FAILURES, MAX_REASON_CHARS, check_key
from tandem_gateway.adapters.sqlite import job_documents, reads
from tandem_gateway.adapters.sqlite.schema import seal, sealed_insert
from tandem_gateway.ports.documents import KEY_SECONDS
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.documents import IdempotencyKey, JobRecord
from tandem_gateway.records.job_documents import DocumentStatus

INSERT_FAILURE = sealed_insert("failures")
"""Inserts the error of a failed document."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of a job's documents that need no more work, and of the kinds among them that the job reports."""

    processed: int = 0
    unchanged: int = 0
    failed: int = 0
    truncated: int = 0
    unreadable: int = 0
    cancelled: int = 0

    @classmethod
    def of(cls, coverage: Coverage | None, *, unchanged: int = 0) -> Self:
        """Return the progress of one document that has a vector; ``coverage`` is None if it is unknown."""
        coverage = coverage or Coverage()
        return cls(1, unchanged, 0, int(coverage.truncated), int(coverage.unreadable))

    def __add__(self, other: "Progress") -> "Progress":
        """Return the sum of both."""
        return Progress(
            self.processed + other.processed,
            self.unchanged + other.unchanged,
            self.failed + other.failed,
            self.truncated + other.truncated,
            self.unreadable + other.unreadable,
            self.cancelled + other.cancelled,
        )

    def __mul__(self, count: int) -> "Progress":
        """Return the counts multiplied by ``count``."""
        return Progress(
            self.processed * count,
            self.unchanged * count,
            self.failed * count,
            self.truncated * count,
            self.unreadable * count,
            self.cancelled * count,
        )


def accepted_with(connection: sqlite3.Connection, key: IdempotencyKey, now: float) -> JobRecord | None:
    """Return the job that was accepted with a key that has not expired; else free the key and return None.

    Raises:
        Conflict: the job was accepted for another request.
    """
    found = connection.execute(
        "SELECT job_id, created_at, request_hash FROM jobs WHERE idempotency_key = ?", (key.key,)
    ).fetchone()
    if found is None:
        return None
    job_id, created_at, request_hash = found
    if created_at <= now - KEY_SECONDS:
        connection.execute("UPDATE jobs SET idempotency_key = NULL, request_hash = NULL WHERE job_id = ?", (job_id,))
        seal(connection, "jobs", "job_id", job_id)
        return None
    check_key(key, request_hash)
    return reads.job(connection, job_id)


def wait(connection: sqlite3.Connection, document_id: int, job_id: str) -> None:
    """Make a job wait for a row; ``documents`` counts the documents of the job that the row stands for."""
    connection.execute(
        "INSERT INTO waiting (document_id, job_id, documents, checksum) "
        "VALUES (:document_id, :job_id, 1, row_checksum(:document_id, :job_id, 1)) "
        "ON CONFLICT (document_id, job_id) DO UPDATE "
        "SET documents = documents + 1, checksum = row_checksum(document_id, job_id, documents + 1)",
        {"document_id": document_id, "job_id": job_id},
    )


def release(
    connection: sqlite3.Connection,
    document_id: int,
    progress: Progress,
    status: DocumentStatus,
    now: float,
    started_at: float | None = None,
) -> None:
    """Count a row as processed in every job that waits for it.

    Args:
        connection: the writer's.
        document_id: of the document.
        progress: of one document.
        status: how it ended.
        now: seconds since the epoch.
        started_at: when the embedding began, in seconds since the epoch; None if it did not begin.
    """
    for job_id, documents in _take_waiting(connection, document_id):
        job_documents.end(connection, job_id, document_id, status)
        advance(connection, job_id, progress * documents, now, started_at)


def release_failed(connection: sqlite3.Connection, document_id: int, doc_id: str, error: str, now: float) -> None:
    """Count a row as failed in every job that waits for it, and record the error there."""
    for job_id, documents in _take_waiting(connection, document_id):
        (ordinal,) = connection.execute("SELECT failed FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        kept = ordinal < MAX_KEPT_FAILURES
        if kept:
            connection.execute(
                INSERT_FAILURE,
                {"job_id": job_id, "ordinal": ordinal, "doc_id": doc_id, "error": error[:MAX_ERROR_CHARS]},
            )
        reason = None if kept else error[:MAX_REASON_CHARS]
        job_documents.end(connection, job_id, document_id, "failed", reason)
        advance(connection, job_id, Progress(processed=1, failed=1) * documents, now)


def _take_waiting(connection: sqlite3.Connection, document_id: int) -> list[tuple[str, int]]:
    """Return the jobs that wait for a row, with the number of their documents; none of them waits for it any more."""
    rows: list[tuple[str, int]] = connection.execute(
        "SELECT job_id, documents FROM waiting WHERE document_id = ?", (document_id,)
    ).fetchall()
    connection.execute("DELETE FROM waiting WHERE document_id = ?", (document_id,))
    return rows


def advance(
    connection: sqlite3.Connection, job_id: str, progress: Progress, now: float, started_at: float | None = None
) -> None:
    """Add progress to a job. The first progress starts the job; the last document finishes it."""
    connection.execute(
        "UPDATE jobs SET processed = processed + :processed, unchanged = unchanged + :unchanged, "
        "failed = failed + :failed, truncated = truncated + :truncated, unreadable = unreadable + :unreadable, "
        "cancelled = cancelled + :cancelled, "
        "started_at = coalesce(started_at, :started_at), "
        "finished_at = CASE WHEN processed + :processed = total AND finished_at IS NULL THEN :now ELSE finished_at END "
        "WHERE job_id = :job_id",
        {
            "processed": progress.processed,
            "unchanged": progress.unchanged,
            "failed": progress.failed,
            "truncated": progress.truncated,
            "unreadable": progress.unreadable,
            "cancelled": progress.cancelled,
            "started_at": started_at if started_at is not None else (now if progress.processed else None),
            "now": now,
            "job_id": job_id,
        },
    )
    seal(connection, "jobs", "job_id", job_id)
