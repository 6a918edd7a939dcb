"""What a store of an earlier schema version has to fulfil before it is upgraded: its checksums and invariants."""

from tandem_gateway.adapters.sqlite.schema import CHECKSUMS

_FIRST_CHECKSUMS = {
    "counters": "row_checksum(name, value)",
    "identity": "row_checksum(store_id)",
    "collections": "row_checksum(collection_id, name, fingerprint, model, dim, tombstone_floor)",
    "documents": "row_checksum(row_id, collection_id, doc_id, text, metadata, content_hash, change, vector)",
    "tombstones": "row_checksum(collection_id, change, row_id)",
    "jobs": "row_checksum(job_id, collection, total, processed, unchanged, failed, created_at, started_at, "
    "finished_at)",
    "waiting": "row_checksum(row_id, job_id, documents)",
    "failures": "row_checksum(job_id, ordinal, doc_id, error)",
}

_SECOND_CHECKSUMS = {
    **_FIRST_CHECKSUMS,
    # A row without values in the newer columns has its checksum of version 1.
    "documents": f"iif(truncated IS NULL, {_FIRST_CHECKSUMS['documents']}, row_checksum(row_id, collection_id, doc_id, "
    "text, metadata, content_hash, change, vector, truncated, unknown))",
    "jobs": "row_checksum(job_id, collection, total, processed, unchanged, failed, created_at, started_at, "
    "finished_at, truncated, unreadable)",
}

_SEVENTH_CHECKSUMS = {
    **{table: checksum for table, checksum in CHECKSUMS.items() if table not in ("failed_documents", "failed_waiting")},
    "collections": "row_checksum(collection_id, name, removal_floor, removed, chunking)",
    "jobs": "row_checksum(job_id, collection, total, processed, unchanged, failed, created_at, started_at, "
    "finished_at, truncated, unreadable, idempotency_key, request_hash, cancelled, skipped)",
}

_SIXTH_CHECKSUMS = {table: checksum for table, checksum in _SEVENTH_CHECKSUMS.items() if table != "document_sources"}

_FIFTH_CHECKSUMS = {
    **{table: checksum for table, checksum in _SIXTH_CHECKSUMS.items() if table not in ("job_lists", "job_outcomes")},
    "jobs": "row_checksum(job_id, collection, total, processed, unchanged, failed, created_at, started_at, "
    "finished_at, truncated, unreadable, idempotency_key, request_hash, cancelled)",
}

_FOURTH_CHECKSUMS = {
    **{table: checksum for table, checksum in _FIFTH_CHECKSUMS.items() if table != "document_formats"},
    "collections": "row_checksum(collection_id, name, removal_floor, removed)",
}

_THIRD_CHECKSUMS = {**_FOURTH_CHECKSUMS, "jobs": _SECOND_CHECKSUMS["jobs"]}

CHECKSUMS_OF = (
    _FIRST_CHECKSUMS,
    _SECOND_CHECKSUMS,
    _THIRD_CHECKSUMS,
    _FOURTH_CHECKSUMS,
    _FIFTH_CHECKSUMS,
    _SIXTH_CHECKSUMS,
    _SEVENTH_CHECKSUMS,
)
"""See ``schema.CHECKSUMS``; of each earlier version, from version 1."""

LAST_OF_FIRST = 2
"""Last version with ``FIRST_INVARIANTS``."""

FIRST_INVARIANTS = {
    "a collection's counts are not those of its documents": """
        SELECT c.name FROM collections c
        LEFT JOIN (SELECT collection_id, count(change) AS live, sum(change IS NULL) AS pending
                   FROM documents GROUP BY collection_id) d USING (collection_id)
        WHERE c.live <> coalesce(d.live, 0) OR c.pending <> coalesce(d.pending, 0)""",
    "a job's counts do not add up": """
        SELECT j.job_id FROM jobs j
        LEFT JOIN (SELECT job_id, sum(documents) AS documents FROM waiting GROUP BY job_id) w USING (job_id)
        WHERE j.processed + coalesce(w.documents, 0) <> j.total""",
    "a job waits for a document that is not pending": """
        SELECT w.row_id FROM waiting w LEFT JOIN documents d USING (row_id)
        WHERE d.row_id IS NULL OR d.change IS NOT NULL""",
    "a pending document has no job": """
        SELECT d.row_id FROM documents d WHERE d.change IS NULL
        AND NOT EXISTS (SELECT 1 FROM waiting w WHERE w.row_id = d.row_id)""",
    "a vector has not its collection's length": """
        SELECT d.row_id FROM documents d JOIN collections c USING (collection_id)
        WHERE d.change IS NOT NULL AND length(d.vector) IS NOT c.dim * 4""",
    "a row or change number is ahead of its counter": """
        SELECT name FROM counters WHERE
        (name = 'row' AND value < (SELECT coalesce(max(row_id), 0) FROM documents)) OR
        (name = 'change' AND value < (SELECT coalesce(max(change), 0) FROM documents)) OR
        (name = 'change' AND value < (SELECT coalesce(max(change), 0) FROM tombstones)) OR
        (name = 'collection' AND value < (SELECT coalesce(max(collection_id), 0) FROM collections))""",
}
"""Meaning → query whose rows violate the invariant; of versions 1 and 2. Later versions have those of this release."""
