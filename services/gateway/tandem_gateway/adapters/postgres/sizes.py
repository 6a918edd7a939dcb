"""The statements that tell the size of a collection, and count the changes that an index has not got yet."""

from typing import Final

from tandem_gateway.adapters.postgres import reads
from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.ports.sizes import COUNTED_CHANGES, SAMPLED_DOCUMENTS
from tandem_gateway.records.sizes import StoredSize

# PostgreSQL tells the bytes of a long text without reading it.
_MEASURED: Final = (
    "WITH ends AS MATERIALIZED ("
    "(SELECT document_id, doc_id, live FROM documents WHERE collection_id = %(collection)s "
    "ORDER BY collection_id, doc_id, live LIMIT %(half)s) UNION "
    "(SELECT document_id, doc_id, live FROM documents WHERE collection_id = %(collection)s "
    "ORDER BY collection_id DESC, doc_id DESC, live DESC LIMIT %(half)s)) "
    "SELECT count(*), coalesce(sum(d.bytes + v.bytes), 0)::bigint FROM ends e CROSS JOIN LATERAL "
    "(SELECT octet_length(x.doc_id) + octet_length(x.text) + octet_length(x.metadata) AS bytes FROM documents x "
    "WHERE x.document_id = e.document_id LIMIT 1) d CROSS JOIN LATERAL (SELECT "
    "coalesce(sum(octet_length(x.vector)), 0) "
    "AS bytes FROM passages p JOIN vectors x ON x.passage_id = p.passage_id WHERE p.document_id = e.document_id) v"
)


def stored_size(connection: Connection, collection: str, added: int, removed: int) -> StoredSize | None:
    """Return the size of a collection; see ``StoredSizes.stored_size``."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return None
    values = {"collection": record.collection_id, "half": SAMPLED_DOCUMENTS // 2}
    measured, total = _counts(connection, _MEASURED, values)
    changes = sum(
        _counts(
            connection,
            f"SELECT count(*), 0 FROM (SELECT 1 FROM {table} WHERE {key} = %(id)s AND change > %(after)s LIMIT "
            f"%(most)s) x",
            {"id": number, "after": after, "most": COUNTED_CHANGES},
        )[0]
        for table, key, number, after in (
            ("vectors", "space_id", record.space_id, added),
            ("removals", "collection_id", record.collection_id, removed),
        )
    )
    versions = record.live + record.pending
    estimated = measured < versions
    return StoredSize(total * versions // measured if estimated and measured else total, changes, estimated)


def _counts(connection: Connection, statement: str, values: dict[str, int]) -> tuple[int, int]:
    row = connection.execute(statement, values).fetchone()
    assert row is not None
    return row[0], row[1]
