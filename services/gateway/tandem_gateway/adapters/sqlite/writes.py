"""The statements that change the store. Each function runs inside the writer's transaction."""

import sqlite3
from collections.abc import Sequence

import msgspec

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.sqlite import (
    catalogue,
    failed_versions,
    job_documents,
    jobs,
    listing,
    purge,
    reads,
    versions,
)
from tandem_gateway.filters.tree import EVERYTHING, Filter
from tandem_gateway.ports.documents import DELETED_AT_ONCE
from tandem_gateway.ports.jobs import CANCELLED_AT_ONCE
from tandem_gateway.records.documents import (
    CollectionChange,
    CollectionRecord,
    Deletions,
    IdempotencyKey,
    JobRecord,
    NewDocument,
)
from tandem_gateway.records.job_documents import DocumentStatus, SkippedDocument, coverage_reason, embedded_status


def accept(
    connection: sqlite3.Connection,
    job_id: str,
    collection: str,
    documents: Sequence[NewDocument],
    now: float,
    limits: Limits,
    *,
    key: IdempotencyKey | None = None,
    skipped: Sequence[SkippedDocument] = (),
) -> JobRecord:
    """Store documents and their job; see ``IngestStore.accept``."""
    accepted = jobs.accepted_with(connection, key, now) if key is not None else None
    if accepted is not None:
        return accepted
    (pending,) = connection.execute("SELECT coalesce(sum(pending), 0) FROM collections WHERE removed = 0").fetchone()
    limits.check_pending(pending, len(documents))
    collection_id = catalogue.collection_id(connection, collection, limits)
    connection.execute(
        "INSERT INTO jobs "
        "(job_id, collection, total, processed, unchanged, failed, created_at, skipped, idempotency_key, request_hash) "
        "VALUES (?, ?, ?, 0, 0, 0, ?, ?, ?, ?)",
        (
            *(job_id, collection, len(documents), now, len(skipped)),
            *((key.key, key.request_hash) if key else (None, None)),
        ),
    )
    done = jobs.Progress()
    entries: list[job_documents.Entry] = []
    changed = False
    any_failed = failed_versions.any_kept(connection, collection_id)
    for document in documents:
        if any_failed:
            failed_versions.supersede(connection, collection_id, document.doc_id)
        pending_version, live_version = reads.versions(connection, collection_id, document.doc_id)
        newest = pending_version or live_version
        if newest is not None and newest.content_hash == document.content_hash:
            versions.set_source(connection, newest.document_id, document)
            if newest is live_version:
                coverage = reads.coverage(connection, newest.document_id)
                done += jobs.Progress.of(coverage, unchanged=1)
                reason = coverage_reason(coverage)
                entries.append((document.doc_id, "unchanged", reason) if reason else (document.doc_id, "unchanged"))
            else:
                jobs.wait(connection, newest.document_id, job_id)
                entries.append((document.doc_id, newest.document_id))
            continue
        if pending_version is not None:
            _drop_pending(connection, collection_id, pending_version.document_id, "replaced", now)
            changed = True
        if live_version is not None and _is_split_alike(connection, live_version, document):
            # Only the metadata is new: the vectors stay valid.
            coverage = reads.coverage(connection, live_version.document_id)
            done += jobs.Progress.of(coverage)
            entries.append((document.doc_id, embedded_status(coverage)))
            versions.replace_live(connection, collection_id, document, live_version.document_id)
            changed = True
            continue
        document_id = versions.insert_pending(connection, collection_id, document)
        jobs.wait(connection, document_id, job_id)
        entries.append((document.doc_id, document_id))
    job_documents.write(connection, job_id, entries, skipped)
    if changed:
        catalogue.note_change(connection, collection_id)
    jobs.advance(connection, job_id, done, now)
    job = reads.job(connection, job_id)
    assert job is not None
    return job


def _is_split_alike(connection: sqlite3.Connection, version: reads.Version, document: NewDocument) -> bool:
    """Return whether a version has a document's text and format, so that its passages are the document's too."""
    return version.text == document.text and reads.text_format(connection, version.document_id) == document.format


def delete(connection: sqlite3.Connection, collection: str, doc_id: str, now: float) -> bool:
    """Delete all versions of a document; see ``DocumentStore.delete``."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return False
    failed_versions.supersede(connection, record.collection_id, doc_id)
    pending_version, live_version = reads.versions(connection, record.collection_id, doc_id)
    if pending_version is None and live_version is None:
        return False
    delete_versions(connection, record.collection_id, pending_version, live_version, now)
    catalogue.note_change(connection, record.collection_id)
    return True


def cancel(connection: sqlite3.Connection, job_id: str, now: float) -> JobRecord | None:
    """Cancel some of a job's documents that wait; see ``JobStore.cancel``."""
    waiting: list[tuple[int, int, int]] = connection.execute(
        "SELECT document_id, collection_id, documents FROM waiting JOIN documents USING (document_id) "
        "WHERE job_id = ? LIMIT ?",
        (job_id, CANCELLED_AT_ONCE),
    ).fetchall()
    for document_id, collection_id, documents in waiting:
        connection.execute("DELETE FROM waiting WHERE document_id = ? AND job_id = ?", (document_id, job_id))
        job_documents.end(connection, job_id, document_id, "cancelled")
        jobs.advance(connection, job_id, jobs.Progress(processed=1, cancelled=1) * documents, now)
        if connection.execute("SELECT 1 FROM waiting WHERE document_id = ?", (document_id,)).fetchone() is None:
            versions.remove(connection, collection_id, document_id)
    for collection_id in {collection_id for _, collection_id, _ in waiting}:
        catalogue.note_change(connection, collection_id)
    return reads.job(connection, job_id)


def delete_some(
    connection: sqlite3.Connection, collection: str, doc_ids: Sequence[str], condition: Filter, now: float
) -> Deletions:
    """Delete documents that match; see ``DocumentStore.delete_some``."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return Deletions(len(doc_ids), 0)
    done = deleted = characters = 0
    for doc_id in doc_ids:
        if deleted == DELETED_AT_ONCE or characters > purge.CHARACTERS_AT_ONCE:
            break
        done += 1
        pending_version, live_version = reads.versions(connection, record.collection_id, doc_id)
        newest = pending_version or live_version
        if newest is None:
            failed_versions.supersede(connection, record.collection_id, doc_id, condition)
        if newest is None or not _matches(connection, newest, condition):
            continue
        failed_versions.supersede(connection, record.collection_id, doc_id)
        for version in (pending_version, live_version):
            if version is not None:
                characters += len(version.text) + len(version.metadata)
        delete_versions(connection, record.collection_id, pending_version, live_version, now)
        deleted += 1
    if deleted:
        catalogue.note_change(connection, record.collection_id)
    return Deletions(done, deleted)


def _matches(connection: sqlite3.Connection, version: reads.Version, condition: Filter) -> bool:
    """Return whether a version matches. A damaged row must not decide what is deleted.

    Raises:
        StorageCorrupt: the version matches, and its checksum is wrong.
    """
    if not listing.fits(condition, version.document_id, version.metadata):
        return False
    if condition != EVERYTHING:
        reads.check_sound(connection, version)
    return True


def put_collection(
    connection: sqlite3.Connection, collection: str, change: CollectionChange, limits: Limits
) -> CollectionRecord:
    """Create or change a collection; see ``Catalogue.put_collection``."""
    number = catalogue.collection_id(connection, collection, limits)
    record = reads.collection_by_id(connection, number)
    assert record is not None
    change.check(record)
    if change.chunking is not msgspec.UNSET and change.chunking != record.chunking:
        catalogue.set_chunking(connection, number, change.chunking)
    if change.language is not msgspec.UNSET and change.language != record.language:
        catalogue.set_language(connection, number, change.language)
    found = reads.collection_by_id(connection, number)
    assert found is not None
    return found


def delete_collection(connection: sqlite3.Connection, collection: str, now: float) -> bool:
    """Delete a collection; see ``Catalogue.delete_collection``. The store never reuses its number."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return False
    purge.mark_removed(connection, record.collection_id)
    purge.step(connection, now)  # the whole of a small collection
    return True


def delete_versions(
    connection: sqlite3.Connection,
    collection_id: int,
    pending_version: reads.Version | None,
    live_version: reads.Version | None,
    now: float,
) -> None:
    """Delete the versions of a document."""
    if pending_version is not None:
        _drop_pending(connection, collection_id, pending_version.document_id, "deleted", now)
    if live_version is not None:
        versions.remove(connection, collection_id, live_version.document_id)


def _drop_pending(
    connection: sqlite3.Connection, collection_id: int, document_id: int, status: DocumentStatus, now: float
) -> None:
    """Remove a pending version that a newer one or a deletion made obsolete; its jobs count it as processed."""
    jobs.release(connection, document_id, jobs.Progress(processed=1), status, now)
    versions.remove(connection, collection_id, document_id)
