"""Changes the metadata of a document alone; see ``DocumentStore.change_metadata``."""

import sqlite3

from tandem_gateway.adapters.sqlite import catalogue, failed_versions, reads, versions
from tandem_gateway.ports.documents import MetadataChange
from tandem_gateway.records.documents import DocumentView, NewDocument, StoredContent


def is_needed(connection: sqlite3.Connection, collection: str, doc_id: str, change: MetadataChange) -> bool:
    """Return whether a change would write anything; it runs inside a reader's transaction."""
    record = reads.collection_by_name(connection, collection)
    return record is not None and bool(_changes(connection, record.collection_id, doc_id, change))


def apply(connection: sqlite3.Connection, collection: str, doc_id: str, change: MetadataChange) -> DocumentView | None:
    """Change the metadata of a document, and return its newest version; it runs inside the writer's transaction."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return None
    changes = _changes(connection, record.collection_id, doc_id, change)
    for document_id, document in changes:
        versions.change_metadata(connection, record.collection_id, document, document_id)
    if changes:
        failed_versions.supersede(connection, record.collection_id, doc_id)
        catalogue.note_change(connection, record.collection_id)
    return reads.document(connection, collection, doc_id)


def _changes(
    connection: sqlite3.Connection, collection_id: int, doc_id: str, change: MetadataChange
) -> list[tuple[int, NewDocument]]:
    """Return the versions whose metadata changes, with their new content.

    Raises:
        StorageCorrupt: a version is damaged. A write would make its checksum right again.
    """
    changes: list[tuple[int, NewDocument]] = []
    for version in reads.versions(connection, collection_id, doc_id):
        if version is None:
            continue
        reads.check_sound(connection, version)
        text_format = reads.text_format(connection, version.document_id)
        new = change(StoredContent(doc_id, version.text, version.metadata, text_format))
        if new.metadata != version.metadata:
            changes.append((version.document_id, new))
    return changes
