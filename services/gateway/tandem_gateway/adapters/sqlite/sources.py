"""The statements that compare a source with its list and delete the rest; they run in the writer's transaction."""

import sqlite3
from collections.abc import Mapping
from typing import Final

from tandem_gateway.adapters.limits import check_deletions
from tandem_gateway.adapters.sqlite import catalogue, failed_versions, reads, writes
from tandem_gateway.adapters.sqlite.schema import CHECKSUMS
from tandem_gateway.records.sources import SourceDifference, difference

_CHECKSUM: Final = CHECKSUMS["document_sources"].replace("(", "(s.").replace(", ", ", s.")
# A live version whose document has a pending one says nothing: the newest version counts.
_OF_SOURCE: Final = (
    f"SELECT d.document_id, d.doc_id, s.hash, s.checksum IS {_CHECKSUM} "
    "FROM document_sources s JOIN documents d ON d.document_id = s.document_id "
    "WHERE s.source = :source AND d.collection_id = :collection_id AND (d.live = 0 OR NOT EXISTS (SELECT 1 FROM "
    "documents p WHERE p.collection_id = d.collection_id AND p.doc_id = d.doc_id AND p.live = 0))"
)


def synchronize(
    connection: sqlite3.Connection, collection: str, source: str, listed: Mapping[str, str], now: float
) -> SourceDifference:
    """Delete the documents of a source that are not listed; see ``DocumentStore.synchronize``."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return difference(listed, {})
    held: dict[str, str | None] = {}
    for document_id, doc_id, given_hash, sound in connection.execute(
        _OF_SOURCE, {"source": source, "collection_id": record.collection_id}
    ):
        if not sound:
            raise reads.damaged("document_sources", document_id)
        held[doc_id] = given_hash
    found = difference(listed, held)
    check_deletions(len(found.deleted))
    failed_versions.drop_unlisted(connection, record.collection_id, source, listed)
    for doc_id in found.deleted:
        pending, live = reads.versions(connection, record.collection_id, doc_id)
        newest = pending or live
        assert newest is not None
        reads.check_sound(connection, newest)
        failed_versions.supersede(connection, record.collection_id, doc_id)
        writes.delete_versions(connection, record.collection_id, pending, live, now)
    if found.deleted:
        catalogue.note_change(connection, record.collection_id)
    return found
