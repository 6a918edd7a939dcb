"""The statements that read collections, documents and jobs."""

import dataclasses
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
import numpy as np

from tandem_gateway.adapters.job_pages import job_page
from tandem_gateway.adapters.postgres.connection import Connection
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

_COLLECTION: Final = (
    "SELECT c.collection_id, c.name, s.space_id, s.fingerprint, s.model, s.dim, c.live, c.pending, c.engine, "
    "c.language, c.chunking FROM collections c "
    "JOIN spaces s ON s.collection_id = c.collection_id AND s.state = 'serving'"
)
JOB_COLUMNS: Final = (
    "job_id, collection, total, processed, unchanged, failed, created_at, started_at, finished_at, truncated, "
    "unreadable, cancelled, skipped, retried_at"
)
"""What ``job_record`` takes."""
OF_COLLECTION: Final = "document_id > %(id)s::bigint << 40 AND document_id < (%(id)s::bigint + 1) << 40"
"""Condition on the number of a document of the collection ``id``."""
_VIEW: Final = (
    "SELECT d.doc_id, d.text, d.metadata, d.live, d.source, d.hash, v.truncated, v.unknown FROM {documents} "
    "LEFT JOIN LATERAL (SELECT bool_or(x.truncated) AS truncated, max(x.unknown) AS unknown FROM passages p "
    "JOIN vectors x ON x.passage_id = p.passage_id AND x.space_id = %(space)s "
    "WHERE p.document_id = d.document_id AND d.live) v ON true"
)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a document."""

    document_id: int
    text: str
    metadata: str
    content_hash: bytes
    format: TextFormat


def versions(connection: Connection, collection_id: int, doc_id: str) -> list[Version]:
    """Return a document's versions, the newest first."""
    rows = connection.execute(
        "SELECT document_id, text, metadata, content_hash, format FROM documents "
        "WHERE collection_id = %s AND doc_id = %s ORDER BY live",
        (collection_id, doc_id),
    )
    return [Version(*columns) for columns in rows]


def document(connection: Connection, collection: str, doc_id: str) -> DocumentView | None:
    """Return a document's newest version."""
    record = collection_by_name(connection, collection)
    if record is None:
        return None
    found = views(connection, record, [doc_id])
    return found.get(doc_id)


def views(connection: Connection, record: CollectionRecord, doc_ids: Sequence[str]) -> dict[str, DocumentView]:
    """Return the newest versions of documents, by id."""
    newest = (
        "unnest(%(ids)s::text[]) AS u(doc_id) CROSS JOIN LATERAL (SELECT x.* FROM documents x WHERE "
        "x.collection_id = %(collection)s AND x.doc_id = u.doc_id ORDER BY x.live LIMIT 1) d"
    )
    rows = connection.execute(
        _VIEW.format(documents=newest),
        {"ids": list(doc_ids), "collection": record.collection_id, "space": record.space_id},
    )
    return {row[0]: _view(*row) for row in rows}


def _view(*columns: Any) -> DocumentView:
    doc_id, text, metadata, live, source, given_hash, truncated, unknown = columns
    covered = None if truncated is None else Coverage(truncated, unknown or 0.0)
    return DocumentView(doc_id, text, metadata, live, covered, source, given_hash)


def waiting(connection: Connection, collection: str) -> Keys:
    """Return the first passages of the versions that wait; see ``DocumentStore.waiting``."""
    record = collection_by_name(connection, collection)
    if record is None:
        return np.zeros(0, np.uint64)
    # Each version that waits has a passage in ``pending``, though not always the first.
    rows = connection.execute(
        "SELECT p.passage_id FROM (SELECT DISTINCT document_id FROM pending "
        f"WHERE {OF_COLLECTION}) w JOIN passages p ON p.document_id = w.document_id AND p.ordinal = 0 "
        "ORDER BY p.passage_id",
        {"id": record.collection_id},
    )
    return np.array([passage_id for (passage_id,) in rows], np.uint64)


def job(connection: Connection, job_id: str) -> JobRecord | None:
    """Return a job with its first failures."""
    found = connection.execute(f"SELECT {JOB_COLUMNS} FROM jobs WHERE job_id = %s", (job_id,)).fetchone()
    return with_failures(connection, job_record(*found)) if found is not None else None


def with_failures(connection: Connection, job: JobRecord) -> JobRecord:
    """Return a job with its first failures."""
    if not job.failed:
        return job
    rows = connection.execute(
        "SELECT doc_id, error FROM failures WHERE job_id = %s ORDER BY ordinal", (job.job_id,)
    ).fetchall()
    return dataclasses.replace(job, failures=cast(list[tuple[str, str]], rows))


def jobs(connection: Connection, before: JobPosition | None, limit: int, condition: JobFilter) -> JobPage:
    """Return jobs that match, the newest first; see ``JobStore.jobs``."""
    rows = connection.execute(
        f"SELECT {JOB_COLUMNS} FROM jobs WHERE (created_at, job_id) < (%s::float8, %s::text) "
        "ORDER BY created_at DESC, job_id DESC LIMIT %s",
        (*(before or (math.inf, "")), JOBS_SCANNED + 1),
    ).fetchall()
    found = [job_record(*row) for row in rows[:JOBS_SCANNED]]
    return job_page(found, limit, condition, more=len(rows) > JOBS_SCANNED)


def jobs_by_id(connection: Connection, job_ids: Collection[str]) -> list[JobRecord]:
    """Return the jobs among these that exist, without their failures."""
    rows = connection.execute(f"SELECT {JOB_COLUMNS} FROM jobs WHERE job_id = ANY (%s::text[])", (list(job_ids),))
    return [job_record(*row) for row in rows]


def unfinished_jobs(connection: Connection, job_ids: Collection[str]) -> set[str]:
    """Return the jobs among these that exist and have not ended."""
    rows = connection.execute(
        "SELECT job_id FROM jobs WHERE job_id = ANY (%s::text[]) AND finished_at IS NULL", (list(job_ids),)
    )
    return {job_id for (job_id,) in rows}


def job_record(*columns: Any) -> JobRecord:
    """Return a job of the columns ``JOB_COLUMNS``."""
    *counts, cancelled, skipped, retried_at = columns
    return dataclasses.replace(JobRecord(*counts), cancelled=cancelled, skipped=skipped, retried_at=retried_at)


def collections(connection: Connection) -> list[CollectionRecord]:
    """Return every collection, by name."""
    return [_collection_record(*row) for row in connection.execute(f"{_COLLECTION} ORDER BY c.name")]


def second_spaces(connection: Connection) -> list[CollectionRecord]:
    """Return the collections that have a second space, with that space instead of the one that serves, by name."""
    of_second = _COLLECTION.replace("'serving'", "'filling'")
    return [_collection_record(*row) for row in connection.execute(f"{of_second} ORDER BY c.name")]


def collection_by_name(connection: Connection, name: str) -> CollectionRecord | None:
    """Return the collection with this name, if there is one."""
    row = connection.execute(f"{_COLLECTION} WHERE c.name = %s", (name,)).fetchone()
    return _collection_record(*row) if row is not None else None


def _collection_record(*columns: Any) -> CollectionRecord:
    *known, engine, language, chunking = columns
    chosen = chunking_of(chunking)
    return dataclasses.replace(CollectionRecord(*known), chunking=chosen, language=language, engine=engine)


def chunking_of(column: str | None) -> Chunking | None:
    """Return the value of the column ``collections.chunking``."""
    return msgspec.json.decode(column, type=Chunking) if column is not None else None


def chunking_column(chunking: Chunking | None) -> str | None:
    """Return the column ``collections.chunking``; ``chunking_of`` reads it."""
    if chunking is None:
        return None
    given = {name: value for name, value in dataclasses.asdict(chunking).items() if value is not None}
    return msgspec.json.encode(given).decode()
