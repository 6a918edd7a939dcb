"""The statements that drop finished jobs and old removals, inside the writer's transaction."""

import sqlite3

from tandem_gateway.adapters.sqlite.catalogue import follower_of
from tandem_gateway.adapters.sqlite.schema import CHECKSUMS, seal

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


def forget_removals(connection: sqlite3.Connection, space_id: int, upto: int) -> int:
    """Record the position of a space's index, and drop the removals that no follower of the collection needs any more.

    An index that is further behind than the dropped removals needs a rebuild.
    """
    found = connection.execute("SELECT collection_id FROM spaces WHERE space_id = ?", (space_id,)).fetchone()
    if found is None:
        return 0
    (collection_id,) = found
    follower = follower_of(space_id)
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
    connection.execute(
        "UPDATE collections SET removal_floor = max(removal_floor, ?) WHERE collection_id = ?", (floor, collection_id)
    )
    seal(connection, "collections", "collection_id", collection_id)
    return connection.execute(
        "DELETE FROM removals WHERE collection_id = ? AND change <= ?", (collection_id, floor)
    ).rowcount
