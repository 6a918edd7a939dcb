"""The statements that list the documents of a collection, in the order of their ids by code points.

A document's pending version comes before its live one, so the first of each id is the newest. Rows are read in steps,
without their texts, because a page may end early.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from tandem_gateway.adapters.postgres import reads
from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.errors import StorageCorrupt, TooManyBytes
from tandem_gateway.filters.matching import matches_json
from tandem_gateway.filters.tree import EVERYTHING, Filter
from tandem_gateway.ports.documents import DELETED_AT_ONCE, PAGE_BYTES, PAGE_SCANNED
from tandem_gateway.records.documents import CollectionRecord, DocumentPage, DocumentView, IdPage, MetadataPage
from tandem_runtime.memory import utf8_bytes

# Row of a newest version: doc_id, metadata, bytes of text and metadata.
_Row = tuple[str, str, int]

_STEP: Final = 250
_IDS_AT_ONCE: Final = 100


def page(connection: Connection, collection: str, after: str, limit: int, condition: Filter) -> DocumentPage | None:
    """Return documents that match; see ``DocumentStore.page``."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return None
    chosen: list[str] = []
    size = looked_at = 0
    last: str | None = after
    for scanned, (doc_id, metadata, bytes_more) in enumerate(_newest(connection, record.collection_id, after)):
        if scanned == PAGE_SCANNED or len(chosen) == limit or max(size, looked_at) >= PAGE_BYTES:
            break
        looked_at += len(metadata)
        if fits(condition, doc_id, metadata):
            if chosen and size + bytes_more > PAGE_BYTES:
                break
            size += bytes_more
            chosen.append(doc_id)
        last = doc_id
    else:
        last = None
    found = reads.views(connection, record, chosen)
    return DocumentPage([found[doc_id] for doc_id in chosen], last)


def metadata(connection: Connection, collection: str, after: str) -> MetadataPage | None:
    """Return the metadata of documents; see ``DocumentStore.metadata``."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return None
    found: list[str] = []
    looked_at = 0
    last = after
    for doc_id, of_document, _ in _newest(connection, record.collection_id, after):
        if len(found) == PAGE_SCANNED or looked_at >= PAGE_BYTES:
            return MetadataPage(found, last)
        looked_at += len(of_document)
        found.append(of_document)
        last = doc_id
    return MetadataPage(found, None)


def matching(connection: Connection, collection: str, after: str, condition: Filter) -> IdPage:
    """Return the ids of documents that match; see ``DocumentStore.matching``."""
    record = reads.collection_by_name(connection, collection)
    found: list[str] = []
    if record is None:
        return IdPage(found, None)
    looked_at = 0
    last = after
    for scanned, (doc_id, of_document, _) in enumerate(_newest(connection, record.collection_id, after)):
        if scanned == PAGE_SCANNED or len(found) == DELETED_AT_ONCE or looked_at >= PAGE_BYTES:
            return IdPage(found, last)
        looked_at += len(of_document)
        if fits(condition, doc_id, of_document):
            found.append(doc_id)
        last = doc_id
    return IdPage(found, None)


def documents(
    connection: Connection, collection: str, doc_ids: Sequence[str], most_bytes: int, condition: Filter
) -> list[DocumentView]:
    """Return the newest versions of documents; see ``DocumentStore.documents``."""
    record = reads.collection_by_name(connection, collection)
    found: list[DocumentView] = []
    if record is None:
        return found
    for start in range(0, len(doc_ids), _IDS_AT_ONCE):
        part = doc_ids[start : start + _IDS_AT_ONCE]
        seen = _views_within(connection, record, part, most_bytes, condition)
        for doc_id in part:
            view = seen.get(doc_id)
            if view is not None:
                most_bytes -= utf8_bytes(view.text) + utf8_bytes(view.metadata)
                if most_bytes < 0:
                    raise TooManyBytes
                found.append(view)
    return found


def fits(condition: Filter, doc_id: str, metadata: str) -> bool:
    """Return whether a document's metadata matches.

    Raises:
        StorageCorrupt: the metadata is not JSON.
    """
    if condition == EVERYTHING:
        return True
    try:
        return matches_json(condition, metadata)
    except msgspec.MsgspecError:
        raise StorageCorrupt(f"documents: the metadata of {doc_id[:80]!r} is not what was written") from None


def _views_within(
    connection: Connection, record: CollectionRecord, doc_ids: Sequence[str], most_bytes: int, condition: Filter
) -> dict[str, DocumentView]:
    """Return documents that match, and no texts of others; their sizes are looked at before.

    Raises:
        TooManyBytes: they have more than ``most_bytes``.
    """
    rows = connection.execute(
        "SELECT d.doc_id, d.metadata, octet_length(d.text) + octet_length(d.metadata) FROM unnest(%s::text[]) "
        "AS u(doc_id) "
        "CROSS JOIN LATERAL (SELECT x.doc_id, x.metadata, x.text FROM documents x WHERE x.collection_id = %s "
        "AND x.doc_id = u.doc_id ORDER BY x.live LIMIT 1) d",
        (list(doc_ids), record.collection_id),
    ).fetchall()
    sizes = {doc_id: size for doc_id, of_document, size in rows if fits(condition, doc_id, of_document)}
    if sum(sizes.get(doc_id, 0) for doc_id in doc_ids) > most_bytes:
        raise TooManyBytes
    return reads.views(connection, record, list(sizes))


def _newest(connection: Connection, collection_id: int, after: str) -> Iterator[_Row]:
    """Return the newest version of each document with an id greater than ``after``."""
    previous: str | None = None
    while True:
        # Both versions of an id come together: a step begins after an id, and reads one row more than it uses.
        rows = connection.execute(
            "SELECT doc_id, metadata, octet_length(text) + octet_length(metadata) FROM documents "
            "WHERE collection_id = %s AND doc_id > %s ORDER BY collection_id, doc_id, live LIMIT %s",
            (collection_id, after, _STEP),
        ).fetchall()
        for row in rows:
            if row[0] != previous:
                previous = row[0]
                yield row
        if len(rows) < _STEP:
            return
        assert previous is not None
        after = previous
