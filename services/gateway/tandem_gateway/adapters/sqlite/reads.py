"""The statements that read the store's counters, collections, documents and jobs."""

import dataclasses
import json
import math
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import numpy as np

from tandem_gateway.adapters.job_pages import job_page
from tandem_gateway.adapters.sqlite import counters
from tandem_gateway.adapters.sqlite.schema import CHECKSUMS
from tandem_gateway.errors import StorageCorrupt
from tandem_gateway.ports.jobs import JOBS_SCANNED
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.chunking import Chunking, TextFormat
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.documents import (
    CollectionRecord,
    DocumentView,
    JobFilter,
    JobPage,
    JobPosition,
    JobRecord,
)

_COLLECTION = (
    "SELECT c.collection_id, c.name, s.space_id, s.fingerprint, s.model, s.dim, c.live, c.pending, "
    "c.language, c.chunking "
    "FROM collections c JOIN spaces s ON s.collection_id = c.collection_id AND s.state = 'serving'"
)

_JOB = (
    "SELECT job_id, collection, total, processed, unchanged, failed, created_at, started_at, finished_at, truncated, "
    "unreadable, cancelled, skipped, retried_at FROM jobs"
)

DOCUMENT_CHECKSUM = CHECKSUMS["documents"].replace("(", "(d.").replace(", ", ", d.")
"""``CHECKSUMS["documents"]`` for a join in which the table's name is ``d``."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a document."""

    document_id: int
    text: str
    metadata: str
    content_hash: bytes
    live: int


def deleted_documents(connection: sqlite3.Connection) -> int:
    """Return how many document versions were ever deleted: the given numbers, less the versions that are left."""
    (left,) = connection.execute("SELECT coalesce(sum(live + pending), 0) FROM collections").fetchone()
    return counters.value(connection, "document") - int(left)


def store_id(connection: sqlite3.Connection) -> str:
    """Return the store's random id."""
    (value,) = connection.execute("SELECT store_id FROM identity").fetchone()
    return str(value)


def versions(connection: sqlite3.Connection, collection_id: int, doc_id: str) -> tuple[Version | None, Version | None]:
    """Return a document's pending version and its live version."""
    pending: Version | None = None
    live: Version | None = None
    rows = connection.execute(
        "SELECT document_id, text, metadata, content_hash, live FROM documents WHERE collection_id = ? AND doc_id = ?",
        (collection_id, doc_id),
    )
    for columns in rows:
        version = Version(*columns)
        if version.live:
            live = version
        else:
            pending = version
    return pending, live


def check_sound(connection: sqlite3.Connection, version: Version) -> None:
    """Check a version that a write depends on.

    Raises:
        StorageCorrupt: its checksum is wrong.
    """
    (sound,) = connection.execute(
        f"SELECT checksum = {DOCUMENT_CHECKSUM} FROM documents d WHERE document_id = ?", (version.document_id,)
    ).fetchone()
    if not sound:
        raise damaged("documents", version.document_id)


def text_format(connection: sqlite3.Connection, document_id: int) -> TextFormat:
    """Return the format of a version's text.

    Raises:
        StorageCorrupt: the checksum of the format is wrong.
    """
    row = connection.execute(
        f"SELECT format, checksum = {CHECKSUMS['document_formats']} FROM document_formats WHERE document_id = ?",
        (document_id,),
    ).fetchone()
    if row is None:
        return "text"
    found, sound = row
    if not sound:
        raise damaged("document_formats", document_id)
    return cast(TextFormat, found)


def coverage(connection: sqlite3.Connection, document_id: int) -> Coverage | None:
    """Return how much of a live version its vectors in the serving space stand for; None if that is not known.

    Over several passages: whether any is truncated, and the largest share of unknown tokens.
    """
    truncated, unknown = connection.execute(
        "SELECT max(truncated), max(unknown) FROM passages JOIN vectors USING (passage_id) "
        "JOIN spaces USING (space_id) WHERE document_id = ? AND state = 'serving'",
        (document_id,),
    ).fetchone()
    return None if truncated is None else Coverage(bool(truncated), unknown or 0.0)


def document(connection: sqlite3.Connection, collection: str, doc_id: str) -> DocumentView | None:
    """Return a document's newest version."""
    record = collection_by_name(connection, collection)
    if record is None:
        return None
    pending, live = versions(connection, record.collection_id, doc_id)
    newest = pending or live
    if newest is None:
        return None
    covered = None if pending is not None else coverage(connection, newest.document_id)
    source, source_hash = source_of(connection, newest.document_id)
    return DocumentView(
        doc_id,
        newest.text,
        newest.metadata,
        embedded=pending is None,
        coverage=covered,
        source=source,
        source_hash=source_hash,
    )


def source_of(connection: sqlite3.Connection, document_id: int) -> tuple[str | None, str | None]:
    """Return the source of a version and its hash there; None for each that it has not."""
    found = connection.execute(
        "SELECT source, hash FROM document_sources WHERE document_id = ?", (document_id,)
    ).fetchone()
    return (None, None) if found is None else (found[0], found[1])


def waiting(connection: sqlite3.Connection, collection: str) -> Keys:
    """Return the first passages of the versions that wait; see ``DocumentStore.waiting``."""
    record = collection_by_name(connection, collection)
    if record is None:
        return np.zeros(0, np.uint64)
    rows = connection.execute(
        "SELECT p.passage_id FROM documents d JOIN passages p ON p.document_id = d.document_id "
        "WHERE d.collection_id = ? AND d.live = 0 AND p.ordinal = 0 ORDER BY p.passage_id",
        (record.collection_id,),
    )
    return np.array([passage_id for (passage_id,) in rows], np.uint64)


def job(connection: sqlite3.Connection, job_id: str) -> JobRecord | None:
    """Return a job with its first failures."""
    found = connection.execute(f"{_JOB} WHERE job_id = ?", (job_id,)).fetchone()
    if found is None:
        return None
    failures: list[tuple[str, str]] = connection.execute(
        "SELECT doc_id, error FROM failures WHERE job_id = ? ORDER BY ordinal", (job_id,)
    ).fetchall()
    return dataclasses.replace(_job_record(*found), failures=failures)


def jobs(connection: sqlite3.Connection, before: JobPosition | None, limit: int, condition: JobFilter) -> JobPage:
    """Return jobs that match, the newest first; see ``JobStore.jobs``."""
    rows = connection.execute(
        f"{_JOB} WHERE (created_at, job_id) < (?, ?) ORDER BY created_at DESC, job_id DESC LIMIT ?",
        (*(before or (math.inf, "")), JOBS_SCANNED + 1),
    ).fetchall()
    found = [_job_record(*row) for row in rows[:JOBS_SCANNED]]
    return job_page(found, limit, condition, more=len(rows) > JOBS_SCANNED)


def jobs_by_id(connection: sqlite3.Connection, job_ids: Collection[str]) -> list[JobRecord]:
    """Return the jobs among these that exist, without their failures."""
    rows = connection.execute(f"{_JOB} WHERE job_id IN (SELECT value FROM json_each(?))", (json.dumps(list(job_ids)),))
    return [_job_record(*row) for row in rows]


def unfinished_jobs(connection: sqlite3.Connection, job_ids: Collection[str]) -> set[str]:
    """Return the jobs among these that exist and have not ended."""
    rows = connection.execute(
        "SELECT job_id FROM jobs WHERE job_id IN (SELECT value FROM json_each(?)) AND finished_at IS NULL",
        (json.dumps(list(job_ids)),),
    )
    return {job_id for (job_id,) in rows}


def _job_record(*columns: Any) -> JobRecord:
    *counts, cancelled, skipped, retried_at = columns
    return dataclasses.replace(JobRecord(*counts), cancelled=cancelled, skipped=skipped, retried_at=retried_at)


def collections(connection: sqlite3.Connection) -> list[CollectionRecord]:
    """Return every collection, by name."""
    return [_collection_record(*row) for row in connection.execute(f"{_COLLECTION} ORDER BY c.name")]


def second_spaces(connection: sqlite3.Connection) -> list[CollectionRecord]:
    """Return the collections that have a second space, with that space instead of the one that serves, by name."""
    of_second = _COLLECTION.replace("'serving'", "'filling'")
    return [_collection_record(*row) for row in connection.execute(f"{of_second} ORDER BY c.name")]


def collection_by_name(connection: sqlite3.Connection, name: str) -> CollectionRecord | None:
    """Return the collection with this name, if there is one."""
    row = connection.execute(f"{_COLLECTION} WHERE c.name = ?", (name,)).fetchone()
    return _collection_record(*row) if row else None


def collection_by_id(connection: sqlite3.Connection, collection_id: int) -> CollectionRecord | None:
    """Return the collection with this number, if there is one."""
    row = connection.execute(f"{_COLLECTION} WHERE c.collection_id = ?", (collection_id,)).fetchone()
    return _collection_record(*row) if row else None


def _collection_record(*columns: Any) -> CollectionRecord:
    *known, language, chunking = columns
    return dataclasses.replace(CollectionRecord(*known), chunking=chunking_of(chunking), language=language)


def chunking_of(column: str | None) -> Chunking | None:
    """Return the value of the column ``collections.chunking``."""
    return msgspec.json.decode(column, type=Chunking) if column is not None else None


def damaged(table: str, row: int) -> StorageCorrupt:
    """Return the error for a row whose checksum is wrong."""
    return StorageCorrupt(
        f"{table}: row {row} of the store is not what was written (its checksum is wrong); "
        f"run `python -m tandem_gateway verify`, then put back a backup or ingest the document again"
    )
