"""The statements that drop finished jobs and old tombstones, inside the writer's transaction."""

import sqlite3

from tandem_gateway.adapters.sqlite.schema import seal

JOBS_AT_ONCE = 10_000
"""Maximum number of finished jobs that one write drops; other writes wait meanwhile."""


def forget_jobs(connection: sqlite3.Connection, before: float, keep: int) -> int:
    """Drop finished jobs, the oldest first.

    Args:
        connection: in a transaction.
        before: drop the jobs that finished before this time, in seconds since the epoch.
        keep: maximum number of the other finished jobs to keep.

    Returns:
        Number of dropped jobs, at most ``JOBS_AT_ONCE``. If it equals ``JOBS_AT_ONCE``, there may be more to drop.
    """
    (finished, old) = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE finished_at < ?) FROM jobs WHERE finished_at IS NOT NULL", (before,)
    ).fetchone()
    count = min(max(old, finished - keep), JOBS_AT_ONCE)
    dropped = connection.execute(
        "SELECT job_id FROM jobs WHERE finished_at IS NOT NULL ORDER BY finished_at LIMIT ?", (max(0, count),)
    ).fetchall()
    connection.executemany("DELETE FROM failures WHERE job_id = ?", dropped)
    connection.executemany("DELETE FROM jobs WHERE job_id = ?", dropped)
    return len(dropped)


def forget_tombstones(connection: sqlite3.Connection, collection_id: int, upto: int) -> int:
    """Drop tombstones up to a change number; an index that is further behind needs a rebuild."""
    connection.execute(
        "UPDATE collections SET tombstone_floor = max(tombstone_floor, ?) WHERE collection_id = ?",
        (upto, collection_id),
    )
    seal(connection, "collections", "collection_id", collection_id)
    return connection.execute(
        "DELETE FROM tombstones WHERE collection_id = ? AND change <= ?", (collection_id, upto)
    ).rowcount
