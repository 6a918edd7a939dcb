"""What a store consists of, and where each schema has it.

A row has the same values on both sides, in the order of ``Table.columns``. Only the numbers of documents differ; a
reader can give its rows the numbers of the other side. See ``numbers``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that move; ``columns`` are their names with the types that PostgreSQL has for them."""

    name: str
    columns: Mapping[str, str]


def _table(name: str, columns: str) -> Table:
    return Table(name, dict(each.split(" ") for each in columns.split(", ")))


STORE: Final = _table(
    "store",
    "commits int8, last_change int8, last_passage int8, catalogue int8, last_document int8, last_collection int8, "
    "last_space int8",
)
"""One row: the last numbers that were given."""
COLLECTIONS: Final = _table(
    "collections",
    "collection_id int8, name text, chunking text, language text, removed bool, removal_floor int8, live int8, "
    "pending int8",
)
SPACES: Final = _table(
    "spaces",
    "space_id int8, collection_id int8, state text, fingerprint text, model text, dim int4, last_change int8, "
    "truncated int8",
)
DOCUMENTS: Final = _table(
    "documents",
    "document_id int8, collection_id int8, doc_id text, text text, metadata text, content_hash bytea, format text, "
    "source text, hash text, live bool",
)
PASSAGES: Final = _table("passages", "passage_id int8, document_id int8, ordinal int4, start int4, stop int4")
VECTORS: Final = _table(
    "vectors", "passage_id int8, space_id int8, change int8, vector bytea, truncated bool, unknown float8"
)
REMOVALS: Final = _table("removals", "collection_id int8, change int8, passage_id int8")
FOLLOWERS: Final = _table("followers", "collection_id int8, follower text, position int8")
JOBS: Final = _table(
    "jobs",
    "job_id text, collection text, total int8, processed int8, unchanged int8, failed int8, created_at float8, "
    "started_at float8, finished_at float8, truncated int8, unreadable int8, cancelled int8, skipped int8, "
    "retried_at float8, idempotency_key text, request_hash bytea",
)
WAITING: Final = _table("waiting", "document_id int8, job_id text, documents int8")
FAILURES: Final = _table("failures", "job_id text, ordinal int8, doc_id text, error text")
JOB_LISTS: Final = _table("job_lists", "list_id int8, job_id text, place int4, entries entries")
"""``entries`` is a list of (id of the document, number of its version or None, status, reason)."""
JOB_OUTCOMES: Final = _table("job_outcomes", "job_id text, document_id int8, status text, reason text")
FAILED_DOCUMENTS: Final = _table(
    "failed_documents",
    "document_id int8, collection_id int8, doc_id text, text text, metadata text, content_hash bytea, format text, "
    "source text, hash text, failed_at float8, bytes int8",
)
FAILED_WAITING: Final = _table("failed_waiting", "document_id int8, job_id text, documents int8")
ACCESS: Final = _table("access", "enabled bool, secret bytea")
"""One row."""
KEYS: Final = _table(
    "keys",
    "number int8, id text, name text, role text, collections text, digest bytea, created_at float8, expires_at float8, "
    "filter text, revoked_at float8, last_used_at float8, previous_digest bytea, previous_until float8, limits text",
)
USAGE: Final = _table("usage", "day int8, caller text, requests int8, tokens int8, documents int8")

TABLES: Final = (
    COLLECTIONS, SPACES, DOCUMENTS, PASSAGES, VECTORS, REMOVALS, FOLLOWERS, JOBS, WAITING, FAILURES, JOB_LISTS,
    JOB_OUTCOMES, FAILED_DOCUMENTS, FAILED_WAITING, ACCESS, KEYS, USAGE, STORE,
)  # fmt: skip
"""In the order in which they move."""

IN_SQLITE: Final = {
    "counters": "store, and truncated of spaces; 'retry' begins at 0, because only a running gateway compares it",
    "identity": "a new store has a new id, so that no cache of the other store is taken for one of it",
    "collections": "collections; failed_bytes is counted again",
    "spaces": "spaces",
    "documents": "documents",
    "document_formats": "format of documents",
    "document_sources": "source and hash of documents",
    "passages": "passages",
    "vectors": "vectors",
    "removals": "removals",
    "followers": "followers",
    "jobs": "jobs",
    "waiting": "waiting",
    "failures": "failures",
    "job_lists": "job_lists; bytes is counted again",
    "job_outcomes": "job_outcomes",
    "failed_documents": "failed_documents",
    "failed_waiting": "failed_waiting",
    "access": "access, with the file access.secret",
    "keys": "keys",
    "usage": "usage",
}
"""Each table of tandem.sqlite3 and access.db → what becomes of it."""

IN_POSTGRES: Final = {
    "schema_version": "belongs to the schema",
    "moved": "the state of a move into the database, and the numbers of documents that it gave",
    "store": "store; store_id and mark are new, so that no cache of the other store is taken for one of it",
    "marks": "a new one for the last commit: they tell caches whether the store lost commits, and there are no caches",
    "collections": "collections; last_document is that of the store, and engine is left: SQLite has no engines",
    "spaces": "spaces",
    "documents": "documents",
    "passages": "passages",
    "pending": "the passages of pending documents without a vector; leases, attempts and owners end, as in a restart",
    "turns": "collections take turns from the start, as after a restart of SQLite",
    "owner_turns": "the one without a name for each collection: SQLite forgets owners at a restart",
    "vectors": "vectors",
    "removals": "removals",
    "followers": "followers",
    "jobs": "jobs",
    "waiting": "waiting",
    "failures": "failures",
    "job_lists": "job_lists; bytes is counted again",
    "job_outcomes": "job_outcomes",
    "failed_documents": "failed_documents",
    "failed_waiting": "failed_waiting",
    "access": "access; version grows",
    "keys": "keys",
    "usage": "usage",
    "gateways": "none: the gateways that run",
    "leaders": "none: what the gateways that run do",
    "snapshots": "none: they are of the other store; the gateways build others",
    "change_times": "none: removals of the last day are kept in the database alone",
    "traffic": "none: one gateway has the shares of its settings, as after a restart of SQLite",
}
"""Each table of the database → what becomes of it."""
