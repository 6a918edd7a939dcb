"""The statements that drop finished jobs and old removals, inside the writer's transaction."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tandem_gateway.adapters.sqlite import failed_versions, job_documents
from tandem_gateway.adapters.sqlite.catalogue import follower_of
from tandem_gateway.adapters.sqlite.schema import CHECKSUMS, seal
from tandem_gateway.ports.retention import LISTED_BYTES

JOBS_AT_ONCE = 10_000
"""Maximum number of finished jobs that one write drops; other writes wait meanwhile."""
DOCUMENTS_AT_ONCE = 20_000
"""Maximum number of their documents, unless one job has more."""

REMOVALS_KEPT = 1_000_000
"""Maximum number of removals that a collection keeps for followers that are behind."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many jobs a write has dropped, and whether there is more to drop."""

    jobs: int
    more: bool


def forget_jobs(connection: sqlite3.Connection, before: float, keep: int) -> Forgotten:
    """Drop finished jobs, and then the lists of others that exceed ``LISTED_BYTES``; the oldest jobs first.

    Args:
        connection: in a transaction.
        before: drop the jobs that finished before this time, in seconds since the epoch.
        keep: maximum number of the other finished jobs to keep.
    """
    (finished, old) = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE finished_at < ?) FROM jobs WHERE finished_at IS NOT NULL", (before,)
    ).fetchone()
    count = max(old, finished - keep)
    rows = connection.execute(
        "SELECT job_id, total FROM jobs WHERE finished_at IS NOT NULL ORDER BY finished_at LIMIT ?",
        (max(0, min(count, JOBS_AT_ONCE)),),
    ).fetchall()
    dropped = _some(rows)
    job_documents.forget(connection, dropped)
    failed_versions.forget_jobs(connection, dropped)
    connection.executemany("DELETE FROM failures WHERE job_id = ?", [(job_id,) for job_id in dropped])
    connection.executemany("DELETE FROM jobs WHERE job_id = ?", [(job_id,) for job_id in dropped])
    more = len(dropped) < count
    return Forgotten(len(dropped), more or _forget_lists(connection))


def _forget_lists(connection: sqlite3.Connection) -> bool:
    """Drop lists of finished jobs, the oldest first, while all exceed the limit; return whether there are more."""
    (size,) = connection.execute("SELECT coalesce(sum(bytes), 0) FROM job_lists INDEXED BY job_lists_place").fetchone()
    if size <= LISTED_BYTES:
        return False
    found: dict[str, int] = {}
    rows = connection.execute(
        "SELECT job_id, total, bytes FROM job_lists JOIN jobs USING (job_id) WHERE finished_at IS NOT NULL "
        "ORDER BY list_id LIMIT ?",
        (JOBS_AT_ONCE,),
    )
    for job_id, total, of_row in rows:
        if size <= LISTED_BYTES and job_id not in found:
            break
        found[job_id] = total
        size -= of_row
    rows.close()
    dropped = _some(list(found.items()))
    job_documents.forget(connection, dropped)
    return len(dropped) < len(found) or (size > LISTED_BYTES and bool(found))


def _some(jobs: Sequence[tuple[str, int]]) -> list[str]:
    """Return the first of these jobs, with their numbers of documents, that one write can drop; at least one."""
    documents = 0
    for place, (_, total) in enumerate(jobs):
        documents += total
        if place and documents > DOCUMENTS_AT_ONCE:
            return [job_id for job_id, _ in jobs[:place]]
    return [job_id for job_id, _ in jobs]


def forget_removals(connection: sqlite3.Connection, space_id: int, upto: int) -> int:
    """Record the position of a space's index, and drop the removals that no follower of the collection needs any more.

    An index that is further behind than the dropped removals needs a rebuild.
    """
    found = connection.execute(
        "SELECT collection_id FROM spaces WHERE space_id = ? AND state <> 'retired'", (space_id,)
    ).fetchone()
    return record_position(connection, found[0], follower_of(space_id), upto) if found else 0


def record_positions(connection: sqlite3.Connection, follower: str, positions: Mapping[int, int]) -> int:
    """Record a follower's positions, and drop removals; see ``FollowerPositions.record_positions``."""
    there = {collection_id for (collection_id,) in connection.execute("SELECT collection_id FROM collections")}
    return sum(
        record_position(connection, collection_id, follower, upto)
        for collection_id, upto in positions.items()
        if collection_id in there
    )


def record_position(connection: sqlite3.Connection, collection_id: int, follower: str, upto: int) -> int:
    """Record a follower's position in an existing collection, and drop the removals that no follower needs any more.

    A follower that cannot go on, for example because its disk is full, would keep removals for ever. Each call for the
    collection, by any of its followers, therefore leaves at most ``REMOVALS_KEPT``, at some 30 bytes each. A follower
    that is further behind needs a rebuild.

    Returns:
        Number of dropped removals.
    """
    connection.execute(
        "INSERT INTO followers (collection_id, follower, position) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET position = max(position, excluded.position)",
        (collection_id, follower, upto),
    )
    connection.execute(
        f"UPDATE followers SET checksum = {CHECKSUMS['followers']} WHERE collection_id = ? AND follower = ?",
        (collection_id, follower),
    )
    (floor,) = connection.execute(
        "SELECT min(position) FROM followers WHERE collection_id = ?", (collection_id,)
    ).fetchone()
    too_old = connection.execute(
        "SELECT change FROM removals WHERE collection_id = ? ORDER BY change DESC LIMIT 1 OFFSET ?",
        (collection_id, REMOVALS_KEPT),
    ).fetchone()
    if too_old is not None:
        floor = max(floor, too_old[0])
    connection.execute(
        "UPDATE collections SET removal_floor = max(removal_floor, ?) WHERE collection_id = ?", (floor, collection_id)
    )
    seal(connection, "collections", "collection_id", collection_id)
    return connection.execute(
        "DELETE FROM removals WHERE collection_id = ? AND change <= ?", (collection_id, floor)
    ).rowcount
