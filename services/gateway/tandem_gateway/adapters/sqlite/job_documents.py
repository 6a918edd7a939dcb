"""The statements that record the documents of jobs, and read them.

``job_lists.entries`` is a MessagePack array. Each entry is an array of a document's id and what became of it: the
number of the version that the job waited for, or a status with an optional reason. A number says little by itself: the
document is pending while ``waiting`` has it, ended as ``job_outcomes`` says, or else was embedded.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from tandem_gateway.adapters.job_pages import job_document_page, with_skipped
from tandem_gateway.adapters.limits import LIST_ENTRY_BYTES, MAX_REASON_CHARS
from tandem_gateway.adapters.sqlite.schema import CHECKSUMS, sealed_insert
from tandem_gateway.errors import StorageCorrupt
from tandem_gateway.records.job_documents import (
    DocumentStatus,
    JobDocument,
    JobDocumentPage,
    SkippedDocument,
    status_reason,
)

Entry = tuple[str, int] | tuple[str, DocumentStatus] | tuple[str | None, DocumentStatus, str]
"""A document's id, and the number of the version that the job waits for, or its status with an optional reason."""

ENTRIES: Final = 500
"""Number of documents in a row."""

_INSERT_LIST = sealed_insert("job_lists")
_INSERT_OUTCOME = sealed_insert("job_outcomes")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[list[Any]]).decode


def write(
    connection: sqlite3.Connection, job_id: str, entries: Sequence[Entry], skipped: Sequence[SkippedDocument] = ()
) -> None:
    """Record the documents of a new job, in the order of its ingest; each skipped one gets the place of its index."""
    if skipped:
        entries = with_skipped(entries, [(each.index, _skipped(each)) for each in skipped])
    for place in range(0, max(1, len(entries)), ENTRIES):
        part = entries[place : place + ENTRIES]
        encoded = _encode(part)
        size = len(encoded) + LIST_ENTRY_BYTES * len(part)
        connection.execute(_INSERT_LIST, {"job_id": job_id, "place": place, "bytes": size, "entries": encoded})


def _skipped(document: SkippedDocument) -> Entry:
    return document.doc_id, "skipped", document.message[:MAX_REASON_CHARS]


def end(
    connection: sqlite3.Connection, job_id: str, document_id: int, status: DocumentStatus, reason: str | None = None
) -> None:
    """Record how a version ended that a job waited for."""
    if status != "embedded":
        values = {"job_id": job_id, "document_id": document_id, "status": status, "reason": reason}
        connection.execute(_INSERT_OUTCOME, values)


def end_many(connection: sqlite3.Connection, document_ids: str, status: DocumentStatus) -> None:
    """Record how versions ended, for every job that waits for them; ``document_ids`` is a JSON array."""
    connection.execute(
        "INSERT INTO job_outcomes (job_id, document_id, status, checksum) "
        "SELECT job_id, document_id, :status, row_checksum(job_id, document_id, :status, NULL) FROM waiting "
        "WHERE document_id IN (SELECT value FROM json_each(:ids))",
        {"status": status, "ids": document_ids},
    )


def forget(connection: sqlite3.Connection, job_ids: Iterable[str]) -> None:
    """Drop what is recorded of the documents of jobs."""
    of_jobs = [(job_id,) for job_id in job_ids]
    for table in ("job_lists", "job_outcomes"):
        connection.executemany(f"DELETE FROM {table} WHERE job_id = ?", of_jobs)


def page(
    connection: sqlite3.Connection, job_id: str, first: int, limit: int, status: DocumentStatus | None
) -> JobDocumentPage | None:
    """Return documents of a job; see ``JobStore.job_documents``."""
    (begin,) = connection.execute(
        "SELECT max(place) FROM job_lists WHERE job_id = ? AND place <= ?", (job_id, first)
    ).fetchone()
    if begin is None:
        return None
    return job_document_page(_documents(connection, job_id, begin, first), first, limit, status)


def _documents(connection: sqlite3.Connection, job_id: str, begin: int, first: int) -> Iterator[JobDocument]:
    """Return the documents of a job from the place ``first`` on; the row of the place ``begin`` has it."""
    failures: dict[str, str] = dict(
        connection.execute("SELECT doc_id, error FROM failures WHERE job_id = ?", (job_id,)).fetchall()
    )
    rows = connection.execute(
        f"SELECT place, entries, checksum IS {CHECKSUMS['job_lists']} FROM job_lists "
        "WHERE job_id = ? AND place >= ? ORDER BY place",
        (job_id, begin),
    )
    for place, encoded, sound in rows:
        if not sound:
            raise StorageCorrupt(
                f"job_lists: the documents of job {job_id} are not what was written (the checksum is wrong)"
            )
        entries = _decode(encoded)[max(0, first - place) :]
        numbers = json.dumps([entry[1] for entry in entries if isinstance(entry[1], int)])
        ended = _ended(connection, job_id, numbers)
        for doc_id, outcome, *reason in entries:
            if isinstance(outcome, int):
                status, given = ended.get(outcome, ("embedded", None))
                if status == "failed" and given is None:
                    given = failures.get(doc_id)
            else:
                status, given = outcome, reason[0] if reason else None
            yield JobDocument(doc_id, status, given or status_reason(status))


def _ended(connection: sqlite3.Connection, job_id: str, document_ids: str) -> dict[int, tuple[Any, Any]]:
    """Return status and reason of those of these versions that were not embedded as a whole; a JSON array has them."""
    of_these = "job_id = ? AND document_id IN (SELECT value FROM json_each(?))"
    rows = connection.execute(
        f"SELECT document_id, status, reason FROM job_outcomes WHERE {of_these} "
        f"UNION ALL SELECT document_id, 'pending', NULL FROM waiting WHERE {of_these}",
        (job_id, document_ids, job_id, document_ids),
    )
    return {document_id: (status, reason) for document_id, status, reason in rows}
