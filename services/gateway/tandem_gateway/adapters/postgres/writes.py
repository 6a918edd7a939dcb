"""The calls of the functions that change the store; ``migrations`` has them. Each is a transaction of its own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import psycopg

from tandem_gateway.adapters.limits import (
    LIST_ENTRY_BYTES,
    MAX_REASON_CHARS,
    Limits,
    check_deletions,
    check_key,
    check_retry,
    most_deletions,
    nothing_to_retry,
)
from tandem_gateway.adapters.owner_turns import MAX_OWNERS
from tandem_gateway.adapters.postgres import job_lists, listing, reads
from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.errors import Overloaded
from tandem_gateway.filters.tree import EVERYTHING, Filter
from tandem_gateway.ports.documents import DELETED_AT_ONCE, KEY_SECONDS, MetadataChange
from tandem_gateway.ports.jobs import CANCELLED_AT_ONCE
from tandem_gateway.records.coverage import UNREADABLE_SHARE
from tandem_gateway.records.documents import (
    CollectionChange,
    CollectionRecord,
    Deletions,
    DocumentView,
    IdempotencyKey,
    JobRecord,
    JobRetry,
    NewDocument,
    StoredContent,
)
from tandem_gateway.records.job_documents import SkippedDocument, status_reason
from tandem_gateway.records.sources import SourceDifference, difference

CHARACTERS_AT_ONCE: Final = 1_000_000
"""Maximum size of the texts and metadata that one call deletes, unless one document is larger."""
PURGED_AT_ONCE: Final = 500
"""Maximum number of documents of a deleted collection that one commit removes."""
REMOVALS_AT_ONCE: Final = 20_000
"""Maximum number of its removals that one commit removes."""

_TOO_MANY_PENDING: Final = "TD001"
_TOO_MANY_COLLECTIONS: Final = "TD002"
_TOO_MANY_DELETIONS: Final = "TD003"
_ATTEMPTS: Final = 20
_ACCEPT: Final = (
    f"SELECT {reads.JOB_COLUMNS}, request_hash FROM accept_v1(%(job)s, %(collection)s, %(ids)s::text[], "
    "%(texts)s::text[], %(metas)s::text[], %(hashes)b::bytea[], %(formats)s::text[], %(sources)s::text[], "
    "%(source_hashes)s::text[], %(places)s::integer[], %(skipped_places)s::integer[], %(skipped_ids)s::text[], "
    "%(skipped_reasons)s::text[], %(owner)s::text, %(max_owners)s, %(now)s, %(key)s::text, %(request)b::bytea, "
    "%(key_seconds)s, %(max_pending)s, "
    "%(max_collections)s, %(entry_bytes)s, %(list_entries)s, %(unreadable_share)s, %(truncated)s, %(unreadable)s)"
)
_CHANGE_METADATA: Final = "SELECT change_metadata_v1(%s, %s, %s::bigint[], %b::bytea[], %s::text[], %b::bytea[])"


@dataclass(frozen=True, slots=True)
class Ingest:
    """The arguments of ``IngestStore.accept``."""

    job_id: str
    collection: str
    documents: Sequence[NewDocument]
    now: float
    key: IdempotencyKey | None
    skipped: Sequence[SkippedDocument]
    owner: str | None = None


def accept(connection: Connection, ingest: Ingest, limits: Limits) -> JobRecord:
    """Store documents and their job; see ``IngestStore.accept``. A second call with the same job id has no effect."""
    documents, key = ingest.documents, ingest.key
    skipped_places = {each.index for each in ingest.skipped}
    free = (place for place in range(len(documents) + len(skipped_places)) if place not in skipped_places)
    values: dict[str, Any] = {
        "job": ingest.job_id,
        "collection": ingest.collection,
        "ids": [each.doc_id for each in documents],
        "texts": [each.text for each in documents],
        "metas": [each.metadata for each in documents],
        "hashes": [each.content_hash for each in documents],
        "formats": [each.format for each in documents],
        "sources": [each.source for each in documents],
        "source_hashes": [each.source_hash for each in documents],
        "places": [place for place, _ in zip(free, documents, strict=False)],
        "skipped_places": [each.index for each in ingest.skipped],
        "skipped_ids": [each.doc_id for each in ingest.skipped],
        "skipped_reasons": [storable(each.message[:MAX_REASON_CHARS]) for each in ingest.skipped],
        "owner": ingest.owner,
        "max_owners": MAX_OWNERS,
        "now": ingest.now,
        "key": key.key if key is not None else None,
        "request": key.request_hash if key is not None else None,
        "key_seconds": KEY_SECONDS,
        "max_pending": limits.pending_documents,
        "max_collections": limits.collections,
        "entry_bytes": LIST_ENTRY_BYTES,
        "list_entries": job_lists.ENTRIES,
        "unreadable_share": UNREADABLE_SHARE,
        "truncated": status_reason("truncated"),
        "unreadable": status_reason("unreadable"),
    }
    with _limits(limits, len(documents)):
        row = _same_key_once_more(connection, values)
    *columns, request_hash = row
    if key is not None:
        check_key(key, request_hash)
    return reads.with_failures(connection, reads.job_record(*columns))


def _same_key_once_more(connection: Connection, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Call the function; again if another transaction took the key, or the job's id, at the same moment."""
    try:
        found = connection.execute(_ACCEPT, values).fetchone()
    except psycopg.errors.UniqueViolation:
        found = connection.execute(_ACCEPT, values).fetchone()
    assert found is not None
    return found


def delete(connection: Connection, collection: str, doc_id: str, now: float) -> bool:
    """Delete all versions of a document; see ``DocumentStore.delete``."""
    return bool(_value(connection, "SELECT delete_v1(%s, %s, %s)", (collection, doc_id, now)))


def delete_some(
    connection: Connection, collection: str, doc_ids: Sequence[str], condition: Filter, now: float
) -> Deletions:
    """Delete documents that match; see ``DocumentStore.delete_some``."""
    if condition == EVERYTHING:
        done, deleted = _delete(connection, collection, doc_ids, None, now)
        return Deletions(done, deleted)
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return Deletions(len(doc_ids), 0)
    done = 0
    for _ in range(_ATTEMPTS):
        # No more than one commit deletes: later ones would be looked at once more.
        part = doc_ids[done : done + DELETED_AT_ONCE]
        chosen = _matching(connection, record, part, condition)
        places = [place for place, doc_id in enumerate(part) if doc_id in chosen]
        if not places:
            done += len(part)
            if done == len(doc_ids):
                return Deletions(done, 0)
            continue
        ids = [part[place] for place in places]
        dealt, deleted = _delete(connection, collection, ids, [chosen[doc_id] for doc_id in ids], now)
        done += places[dealt] if dealt < len(places) else len(part)
        if deleted or dealt:
            return Deletions(done, deleted)
        # The first of them has changed since it was looked at.
    raise Overloaded("the documents change faster than they can be looked at")


def _matching(
    connection: Connection, record: CollectionRecord, doc_ids: Sequence[str], condition: Filter
) -> dict[str, tuple[int, bytes]]:
    """Return number and hash of the newest versions that match, by document; a failed one if there is no other."""
    rows = connection.execute(
        "SELECT d.doc_id, d.metadata, d.document_id, d.content_hash FROM unnest(%(ids)s::text[]) AS u(doc_id) "
        "CROSS JOIN LATERAL (SELECT x.doc_id, x.metadata, x.document_id, x.content_hash, x.live::integer AS place "
        "FROM documents x WHERE x.collection_id = %(of)s AND x.doc_id = u.doc_id UNION ALL "
        "SELECT f.doc_id, f.metadata, f.document_id, f.content_hash, 2 FROM failed_documents f "
        "WHERE f.collection_id = %(of)s AND f.doc_id = u.doc_id ORDER BY place LIMIT 1) d",
        {"ids": list(doc_ids), "of": record.collection_id},
    )
    return {
        doc_id: (version, content_hash)
        for doc_id, metadata, version, content_hash in rows
        if listing.fits(condition, doc_id, metadata)
    }


def _delete(
    connection: Connection,
    collection: str,
    doc_ids: Sequence[str],
    expected: Sequence[tuple[int, bytes]] | None,
    now: float,
) -> tuple[int, int]:
    found = connection.execute(
        "SELECT done, deleted FROM delete_some_v1(%s, %s::text[], %s::bigint[], %b::bytea[], %s, %s, %s)",
        (
            collection,
            list(doc_ids),
            [version for version, _ in expected] if expected is not None else None,
            [content_hash for _, content_hash in expected] if expected is not None else None,
            DELETED_AT_ONCE,
            CHARACTERS_AT_ONCE,
            now,
        ),
    ).fetchone()
    assert found is not None
    return found[0], found[1]


def change_metadata(
    connection: Connection, collection: str, doc_id: str, change: MetadataChange
) -> DocumentView | None:
    """Change the metadata of a document; see ``DocumentStore.change_metadata``."""
    for _ in range(_ATTEMPTS):
        record = reads.collection_by_name(connection, collection)
        seen = reads.versions(connection, record.collection_id, doc_id) if record is not None else []
        new = [change(StoredContent(doc_id, each.text, each.metadata, each.format)) for each in seen]
        changed = [after.metadata != before.metadata for after, before in zip(new, seen, strict=True)]
        values = (
            collection,
            doc_id,
            [each.document_id for each in seen],
            [each.content_hash for each in seen],
            [each.metadata if differs else None for each, differs in zip(new, changed, strict=True)],
            [each.content_hash for each in new],
        )
        if not any(changed) or _value(connection, _CHANGE_METADATA, values):
            return reads.document(connection, collection, doc_id)
        # Another write has changed the document since it was read.
    raise Overloaded(f"document {doc_id!r} changes faster than its metadata can be changed")


def synchronize(
    connection: Connection, collection: str, source: str, listed: Mapping[str, str], now: float
) -> SourceDifference:
    """Delete the documents of a source that are not listed; see ``DocumentStore.synchronize``."""
    with _limits(None, 0):
        rows = connection.execute(
            "SELECT doc_id, hash FROM synchronize_v1(%s, %s, %s::text[], %s, %s)",
            (collection, source, list(listed), most_deletions(), now),
        ).fetchall()
    return difference(listed, dict(rows))


def cancel(connection: Connection, job_id: str, now: float) -> JobRecord | None:
    """Cancel some of a job's documents that wait; see ``JobStore.cancel``."""
    connection.execute("SELECT cancel_v1(%s, %s, %s)", (job_id, CANCELLED_AT_ONCE, now))
    return reads.job(connection, job_id)


def retry(connection: Connection, job_id: str, now: float, limits: Limits) -> JobRetry | None:
    """Make the failed documents of a job wait again; see ``JobStore.retry``."""
    for _ in range(_ATTEMPTS):
        before = reads.job(connection, job_id)
        if before is None:
            return None
        check_retry(before)
        with _limits(limits, 0):
            retried = _value(
                connection,
                "SELECT retry_v1(%s, %s, %s, %s)",
                (job_id, now, limits.pending_documents, UNREADABLE_SHARE),
            )
        if retried == 0:
            raise nothing_to_retry(before)
        if retried is not None:
            after = reads.job(connection, job_id)
            return JobRetry(after, retried, before.failed - retried) if after is not None else None
        # Another retry was faster.
    raise Overloaded(f"job {job_id} changes faster than it can be retried")


def put_collection(
    connection: Connection, collection: str, change: CollectionChange, limits: Limits
) -> CollectionRecord:
    """Create or change a collection; see ``Catalogue.put_collection``."""
    chunking = None if change.chunking is msgspec.UNSET else reads.chunking_column(change.chunking)
    values = (
        collection,
        change.chunking is not msgspec.UNSET,
        chunking,
        None if change.language is msgspec.UNSET else change.language,
        limits.collections,
    )
    for _ in range(_ATTEMPTS):
        with _limits(limits, 0):
            changed = _value(connection, "SELECT put_collection_v1(%s, %s, %s::text, %s::text, %s)", values)
        record = reads.collection_by_name(connection, collection)
        if record is not None:
            if changed:
                return record
            change.check(record)
        # Another write has deleted the collection, or its documents.
    raise Overloaded(f"collection {collection!r} changes faster than its settings can be changed")


def delete_collection(connection: Connection, collection: str, now: float) -> bool:
    """Delete a collection; see ``Catalogue.delete_collection``. ``purge`` removes what is left of a large one."""
    deleted = bool(_value(connection, "SELECT delete_collection_v1(%s)", (collection,)))
    if deleted:
        purge(connection, now)
    return deleted


def purge(connection: Connection, now: float) -> bool:
    """Remove some content of a deleted collection or a dropped space; return whether there may be more."""
    values = (PURGED_AT_ONCE, CHARACTERS_AT_ONCE, REMOVALS_AT_ONCE, now)
    return bool(_value(connection, "SELECT purge_v1(%s, %s, %s, %s)", values))


def storable(text: str) -> str:
    """Return a text without the character that PostgreSQL cannot store: U+0000 becomes U+FFFD.

    Documents have none; see ``use_cases.validation``. The messages of other services may have one.
    """
    return text.replace("\x00", "\ufffd")


def _value(connection: Connection, statement: str, values: Sequence[Any]) -> Any:
    found = connection.execute(statement, values).fetchone()
    assert found is not None
    return found[0]


@contextmanager
def _limits(limits: Limits | None, more: int) -> Iterator[None]:
    """Raise the domain's error for a limit that a function has found reached."""
    try:
        yield
    except psycopg.DatabaseError as error:
        if error.sqlstate == _TOO_MANY_DELETIONS:
            check_deletions(int(error.diag.message_detail or 0))
        elif limits is not None and error.sqlstate == _TOO_MANY_PENDING:
            limits.check_pending(int(error.diag.message_detail or 0), int(error.diag.message_hint or more))
        elif limits is not None and error.sqlstate == _TOO_MANY_COLLECTIONS:
            limits.check_collections(int(error.diag.message_detail or 0))
        raise
