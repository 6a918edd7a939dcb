"""The statements that add and remove versions of documents; ``passages`` has those for their passages and vectors.

Each function runs inside the writer's transaction. A change of what an index holds gets a change number here; the
caller then calls ``catalogue.note_change`` once.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from tandem_gateway.adapters.sqlite import passages
from tandem_gateway.adapters.sqlite.counters import next_number
from tandem_gateway.adapters.sqlite.passages import NewVector
from tandem_gateway.adapters.sqlite.schema import CHECKSUMS, sealed_insert
from tandem_gateway.records.chunking import Span
from tandem_gateway.records.documents import NewDocument

_INSERT_DOCUMENT = sealed_insert("documents", "live")
_INSERT_FORMAT = sealed_insert("document_formats")
_INSERT_SOURCE = sealed_insert("document_sources")


def insert_pending(
    connection: sqlite3.Connection, collection_id: int, document: NewDocument, number: int | None = None
) -> int:
    """Store a pending version with one passage, the whole text; return its document number.

    Args:
        connection: the writer's.
        collection_id: of the collection.
        document: its content.
        number: its document number, which no version has; None for a new one.
    """
    document_id = _insert_document(connection, collection_id, document, live=False, number=number)
    passages.insert(connection, next_number(connection, "passage"), document_id, 0, 0, None)
    return document_id


def replace_live(
    connection: sqlite3.Connection, collection_id: int, document: NewDocument, old_document_id: int
) -> None:
    """Replace a live version with one of the same text and new metadata. Its passages get the old vectors."""
    kept = passages.of_version(connection, old_document_id)
    remove(connection, collection_id, old_document_id)
    passages.insert_copies(connection, _insert_document(connection, collection_id, document, live=True), kept)


def change_metadata(
    connection: sqlite3.Connection, collection_id: int, document: NewDocument, document_id: int
) -> None:
    """Give a version new metadata. It keeps its number, its jobs and its vectors; its passages get new ids.

    The indexes of metadata follow the ids of passages: they see a removal and an addition.
    """
    connection.execute(
        "UPDATE documents SET metadata = :metadata, content_hash = :content_hash, checksum = "
        "row_checksum(document_id, collection_id, doc_id, text, :metadata, :content_hash) WHERE document_id = :row",
        {"metadata": document.metadata, "content_hash": document.content_hash, "row": document_id},
    )
    # The jobs for which the version failed once did not have this content.
    connection.execute("DELETE FROM failed_waiting WHERE document_id = ?", (document_id,))
    # A number without a document counts as a deleted document: the log gets rid of the former metadata as soon.
    next_number(connection, "document")
    kept = passages.of_version(connection, document_id)
    passages.remove_all(connection, collection_id, document_id)
    passages.insert_copies(connection, document_id, kept)


def set_source(connection: sqlite3.Connection, document_id: int, document: NewDocument) -> None:
    """Give a version the source of an ingest of the same content."""
    found = connection.execute(
        f"SELECT source, hash, checksum IS {CHECKSUMS['document_sources']} FROM document_sources WHERE document_id = ?",
        (document_id,),
    ).fetchone()
    if found == (None if document.source is None else (document.source, document.source_hash, 1)):
        return
    connection.execute("DELETE FROM document_sources WHERE document_id = ?", (document_id,))
    if document.source is not None:
        _insert_source(connection, document_id, document)


@dataclass(frozen=True, slots=True)
class PendingVersion:
    """A version that waits for the vectors of its passages."""

    document_id: int
    collection_id: int
    doc_id: str


def pending_of(connection: sqlite3.Connection, passage_id: int) -> PendingVersion | None:
    """Return the version that a passage belongs to; None if it is live, or the passage was removed."""
    found = connection.execute(
        "SELECT document_id, collection_id, doc_id FROM passages JOIN documents USING (document_id) "
        "WHERE passage_id = ? AND live = 0",
        (passage_id,),
    ).fetchone()
    return PendingVersion(*found) if found else None


def split(
    connection: sqlite3.Connection, version: PendingVersion, first_passage: int, spans: Sequence[Span]
) -> list[int]:
    """Divide a pending version, which is one passage, into several; return their ids, in order.

    A version of one span stays as it is, so that its passage keeps the white space around the text.

    Args:
        connection: the writer's.
        version: the version.
        first_passage: its passage, which becomes the first of them.
        spans: at least one.
    """
    if len(spans) == 1:
        return [first_passage]
    connection.execute(
        "UPDATE passages SET start = :start, stop = :stop, "
        "checksum = row_checksum(passage_id, document_id, ordinal, :start, :stop) WHERE passage_id = :passage_id",
        {"start": spans[0].start, "stop": spans[0].stop, "passage_id": first_passage},
    )
    passage_ids = [first_passage]
    for ordinal, span in enumerate(spans[1:], start=1):
        passage_ids.append(next_number(connection, "passage"))
        passages.insert(connection, passage_ids[-1], version.document_id, ordinal, span.start, span.stop)
    return passage_ids


def add_vectors(
    connection: sqlite3.Connection, space_id: int, version: PendingVersion, vectors: Sequence[NewVector]
) -> bool:
    """Store vectors of a version's passages; make the version live if they were the last. A second vector is ignored.

    A version that goes live replaces the older live version. All its vectors get change numbers at once.

    Returns:
        Whether the version is live now.
    """
    rows: dict[int, int | None] = dict(
        connection.execute(
            "SELECT p.passage_id, v.rowid FROM passages p "
            "LEFT JOIN vectors v ON v.passage_id = p.passage_id AND v.space_id = ? WHERE p.document_id = ?",
            (space_id, version.document_id),
        ).fetchall()
    )
    new = {each.passage_id: each for each in vectors if rows[each.passage_id] is None}
    if not new:
        return False
    whole = all(row is not None or passage_id in new for passage_id, row in rows.items())
    if whole:
        old = connection.execute(
            "SELECT document_id FROM documents WHERE collection_id = ? AND doc_id = ? AND live = 1",
            (version.collection_id, version.doc_id),
        ).fetchone()
        if old is not None:
            remove(connection, version.collection_id, old[0])
    for each in new.values():
        passages.insert_vector(connection, space_id, each, next_number(connection, "change") if whole else None)
    if not whole:
        return False
    for row in rows.values():
        if row is not None:
            connection.execute(
                "UPDATE vectors SET change = :change, "
                "checksum = row_checksum(passage_id, space_id, :change, vector, truncated, unknown) WHERE rowid = :row",
                {"change": next_number(connection, "change"), "row": row},
            )
    connection.execute("UPDATE documents SET live = 1 WHERE document_id = ?", (version.document_id,))
    return True


def remove(connection: sqlite3.Connection, collection_id: int, document_id: int) -> None:
    """Remove a version with its passages and vectors, and record the removal of each passage."""
    connection.execute("DELETE FROM failed_waiting WHERE document_id = ?", (document_id,))
    remove_failed(connection, collection_id, document_id)


def remove_failed(connection: sqlite3.Connection, collection_id: int, document_id: int) -> None:
    """Remove a version as ``remove`` does; the jobs for which it has failed may retry it."""
    passages.remove_all(connection, collection_id, document_id)
    connection.execute("DELETE FROM document_formats WHERE document_id = ?", (document_id,))
    connection.execute("DELETE FROM document_sources WHERE document_id = ?", (document_id,))
    connection.execute("DELETE FROM documents WHERE document_id = ?", (document_id,))


def _insert_document(
    connection: sqlite3.Connection,
    collection_id: int,
    document: NewDocument,
    *,
    live: bool,
    number: int | None = None,
) -> int:
    document_id = next_number(connection, "document") if number is None else number
    connection.execute(
        _INSERT_DOCUMENT,
        {
            "document_id": document_id,
            "collection_id": collection_id,
            "doc_id": document.doc_id,
            "text": document.text,
            "metadata": document.metadata,
            "content_hash": document.content_hash,
            "live": int(live),
        },
    )
    if document.format != "text":
        connection.execute(_INSERT_FORMAT, {"document_id": document_id, "format": document.format})
    if document.source is not None:
        _insert_source(connection, document_id, document)
    return document_id


def _insert_source(connection: sqlite3.Connection, document_id: int, document: NewDocument) -> None:
    connection.execute(
        _INSERT_SOURCE, {"document_id": document_id, "source": document.source, "hash": document.source_hash}
    )
