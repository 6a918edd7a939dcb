"""Removes the content of deleted collections and of dropped spaces, some documents at a time.

A deletion only marks a collection or space, so that it takes no longer for a million documents than for one. Steps of
the purge follow, each in the writer's transaction, between the other writes. They go on after a restart.
"""

import json
import sqlite3

from tandem_gateway.adapters.sqlite import catalogue, counters, failed_versions, job_documents, jobs
from tandem_gateway.adapters.sqlite.schema import seal

REMOVALS_AT_ONCE = 20_000
"""Maximum number of removals that one step forgets."""
DOCUMENTS_AT_ONCE = 500
"""Maximum number of documents that one step removes: the other writes wait for it."""
CHARACTERS_AT_ONCE = 1_000_000
"""Maximum size of their texts and metadata, unless one document is larger: the deleted pages are overwritten."""


def mark_removed(connection: sqlite3.Connection, collection_id: int) -> None:
    """Take a collection out of the catalogue; its name is free at once. No client can give a name with a slash."""
    connection.execute(
        "UPDATE collections SET removed = 1, name = '/' || collection_id WHERE collection_id = ?", (collection_id,)
    )
    seal(connection, "collections", "collection_id", collection_id)
    connection.execute("UPDATE spaces SET state = 'retired' WHERE collection_id = ?", (collection_id,))
    seal(connection, "spaces", "collection_id", collection_id)
    counters.next_number(connection, "catalogue")


def is_due(connection: sqlite3.Connection) -> bool:
    """Return whether a deleted collection or a dropped space still has content."""
    found = connection.execute(
        "SELECT 1 FROM collections WHERE removed = 1 UNION ALL SELECT 1 FROM spaces WHERE state = 'retired' LIMIT 1"
    )
    return found.fetchone() is not None


def step(connection: sqlite3.Connection, now: float) -> None:
    """Remove some content of a deleted collection or a dropped space, or the thing itself once it is empty.

    The jobs that wait for the documents count them as processed.
    """
    found = connection.execute("SELECT collection_id FROM collections WHERE removed = 1 LIMIT 1").fetchone()
    if found is None:
        _purge_space(connection)
        return
    (collection_id,) = found
    documents, last = _next_documents(connection, collection_id)
    # Set-based statements, because every other write waits for this one.
    ids = (json.dumps(documents),)
    of_these = "IN (SELECT value FROM json_each(?))"
    waited = connection.execute(
        f"SELECT job_id, sum(documents) FROM waiting WHERE document_id {of_these} GROUP BY job_id", ids
    ).fetchall()
    job_documents.end_many(connection, ids[0], "deleted")
    connection.execute(f"DELETE FROM waiting WHERE document_id {of_these}", ids)
    for job_id, count in waited:
        jobs.advance(connection, job_id, jobs.Progress(processed=count), now)
    connection.execute(
        f"DELETE FROM vectors WHERE passage_id IN (SELECT passage_id FROM passages WHERE document_id {of_these})", ids
    )
    for table in ("passages", "document_formats", "document_sources", "failed_waiting", "documents"):
        connection.execute(f"DELETE FROM {table} WHERE document_id {of_these}", ids)
    if last and failed_versions.purge(connection, collection_id) and _forget_removals(connection, collection_id):
        _remove(connection, collection_id)


def _purge_space(connection: sqlite3.Connection) -> None:
    """Remove some vectors of a dropped space, and the space with its last ones."""
    found = connection.execute("SELECT space_id FROM spaces WHERE state = 'retired' LIMIT 1").fetchone()
    if found is None:
        return
    (space_id,) = found
    removed = connection.execute(
        "DELETE FROM vectors WHERE rowid IN (SELECT rowid FROM vectors WHERE space_id = ? LIMIT ?)",
        (space_id, DOCUMENTS_AT_ONCE),
    ).rowcount
    if removed < DOCUMENTS_AT_ONCE:
        connection.execute("DELETE FROM spaces WHERE space_id = ?", (space_id,))


def _next_documents(connection: sqlite3.Connection, collection_id: int) -> tuple[list[int], bool]:
    """Return some documents of a collection, the pending ones first, and whether they are its last."""
    found: list[int] = []
    characters = 0
    # The other index has the live rows as well: once no row is pending, each step would read all of them.
    for rows_of in ("documents INDEXED BY documents_waiting WHERE live = 0", "documents WHERE live = 1"):
        rows = connection.execute(
            f"SELECT document_id, length(text) + length(metadata) FROM {rows_of} AND collection_id = ?",
            (collection_id,),
        )
        for document_id, size in rows:
            if len(found) == DOCUMENTS_AT_ONCE or (found and characters + size > CHARACTERS_AT_ONCE):
                rows.close()
                return found, False
            found.append(document_id)
            characters += size
    return found, True


def _forget_removals(connection: sqlite3.Connection, collection_id: int) -> bool:
    """Forget some removals of a collection without documents; return whether they were the last."""
    forgotten = connection.execute(
        "DELETE FROM removals WHERE collection_id = :id AND change IN "
        "(SELECT change FROM removals WHERE collection_id = :id ORDER BY change LIMIT :count)",
        {"id": collection_id, "count": REMOVALS_AT_ONCE},
    ).rowcount
    return forgotten < REMOVALS_AT_ONCE


def _remove(connection: sqlite3.Connection, collection_id: int) -> None:
    """Remove a collection without documents and removals."""
    spaces = connection.execute("SELECT space_id FROM spaces WHERE collection_id = ?", (collection_id,)).fetchall()
    connection.executemany(
        "DELETE FROM counters WHERE name = ?", [(catalogue.truncated_in(each),) for (each,) in spaces]
    )
    for table in ("followers", "spaces", "collections"):
        connection.execute(f"DELETE FROM {table} WHERE collection_id = ?", (collection_id,))
