"""The statements that list the documents of a collection, in the order of their ids.

One call reads a bounded number of rows, because other reads wait for it. A document's pending row comes before its live
row in the index, so the first row of each id is the newest version.
"""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from tandem_gateway.adapters.sqlite import reads
from tandem_gateway.errors import StorageCorrupt, TooManyBytes
from tandem_gateway.filters.matching import matches_json
from tandem_gateway.filters.tree import EVERYTHING, Filter
from tandem_gateway.ports.documents import DELETED_AT_ONCE, PAGE_BYTES, PAGE_SCANNED
from tandem_gateway.records.documents import DocumentPage, DocumentView, IdPage, MetadataPage

# Row of a newest version: document_id, doc_id, metadata, live.
_Row = tuple[int, str, str, int]


def page(
    connection: sqlite3.Connection, collection: str, after: str, limit: int, condition: Filter
) -> DocumentPage | None:
    """Return documents that match; see ``DocumentStore.page``."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return None
    found: list[DocumentView] = []
    size = looked_at = 0
    last = after
    for scanned, row in enumerate(_newest(connection, record.collection_id, after)):
        if scanned == PAGE_SCANNED or len(found) == limit or max(size, looked_at) >= PAGE_BYTES:
            return DocumentPage(found, last)
        document_id, doc_id, metadata, live = row
        looked_at += len(metadata)
        if fits(condition, document_id, metadata):
            (text,) = connection.execute("SELECT text FROM documents WHERE document_id = ?", (document_id,)).fetchone()
            bytes_more = len(text.encode()) + len(metadata.encode())
            if found and size + bytes_more > PAGE_BYTES:
                return DocumentPage(found, last)
            size += bytes_more
            covered = reads.coverage(connection, document_id) if live else None
            source, source_hash = reads.source_of(connection, document_id)
            found.append(DocumentView(doc_id, text, metadata, bool(live), covered, source, source_hash))
        last = doc_id
    return DocumentPage(found, None)


def metadata(connection: sqlite3.Connection, collection: str, after: str) -> MetadataPage | None:
    """Return the metadata of documents; see ``DocumentStore.metadata``."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return None
    found: list[str] = []
    looked_at = 0
    last = after
    for _, doc_id, of_document, _ in _newest(connection, record.collection_id, after):
        if len(found) == PAGE_SCANNED or looked_at >= PAGE_BYTES:
            return MetadataPage(found, last)
        looked_at += len(of_document)
        found.append(of_document)
        last = doc_id
    return MetadataPage(found, None)


def matching(connection: sqlite3.Connection, collection: str, after: str, condition: Filter) -> IdPage:
    """Return the ids of documents that match; see ``DocumentStore.matching``."""
    record = reads.collection_by_name(connection, collection)
    found: list[str] = []
    if record is None:
        return IdPage(found, None)
    looked_at = 0
    last = after
    for scanned, (document_id, doc_id, metadata, _) in enumerate(_newest(connection, record.collection_id, after)):
        if scanned == PAGE_SCANNED or len(found) == DELETED_AT_ONCE or looked_at >= PAGE_BYTES:
            return IdPage(found, last)
        looked_at += len(metadata)
        if fits(condition, document_id, metadata):
            found.append(doc_id)
        last = doc_id
    return IdPage(found, None)


def documents(
    connection: sqlite3.Connection, collection: str, doc_ids: Sequence[str], most_bytes: int, condition: Filter
) -> list[DocumentView]:
    """Return the newest versions of documents; see ``DocumentStore.documents``."""
    found: list[DocumentView] = []
    for doc_id in doc_ids:
        view = reads.document(connection, collection, doc_id)
        if view is not None and _matches(condition, doc_id, view.metadata):
            most_bytes -= len(view.text.encode()) + len(view.metadata.encode())
            if most_bytes < 0:
                raise TooManyBytes
            found.append(view)
    return found


def fits(condition: Filter, document_id: int, metadata: str) -> bool:
    """Return whether a row's metadata matches.

    Raises:
        StorageCorrupt: the metadata is not JSON.
    """
    if condition == EVERYTHING:
        return True
    try:
        return matches_json(condition, metadata)
    except msgspec.MsgspecError:
        raise reads.damaged("documents", document_id) from None


def _matches(condition: Filter, doc_id: str, metadata: str) -> bool:
    try:
        return condition == EVERYTHING or matches_json(condition, metadata)
    except msgspec.MsgspecError:
        raise StorageCorrupt(
            f"documents: the metadata of {doc_id[:80]!r} is not what was written; run `python -m tandem_gateway verify`"
        ) from None


def _newest(connection: sqlite3.Connection, collection_id: int, after: str) -> Iterator[_Row]:
    """Return the newest version of each document with an id greater than ``after``."""
    previous = None
    rows = connection.execute(
        "SELECT document_id, doc_id, metadata, live FROM documents WHERE collection_id = ? AND doc_id > ? "
        "ORDER BY doc_id, live",
        (collection_id, after),
    )
    for row in rows:
        if row[1] != previous:
            previous = row[1]
            yield row
