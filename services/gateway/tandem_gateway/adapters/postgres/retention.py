"""The calls of the functions that forget jobs, failed documents and removals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.ports.retention import LISTED_BYTES

JOBS_AT_ONCE: Final = 10_000
"""Maximum number of finished jobs that one commit drops."""
DOCUMENTS_AT_ONCE: Final = 20_000
"""Maximum number of their documents, unless one job has more."""
FAILED_AT_ONCE: Final = 500
"""Maximum number of failed versions that one commit drops."""
REMOVALS_KEPT: Final = 1_000_000
"""Maximum number of removals that a collection keeps for followers that are behind."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many jobs a commit has dropped, and whether there is more to drop."""

    jobs: int
    more: bool


def forget_jobs(connection: Connection, before: float, keep: int) -> Forgotten:
    """Drop finished jobs, and then the lists of others that exceed ``LISTED_BYTES``; the oldest jobs first."""
    values = (before, keep, JOBS_AT_ONCE, DOCUMENTS_AT_ONCE, LISTED_BYTES)
    return Forgotten(*_one(connection, "SELECT dropped, more FROM forget_jobs_v1(%s, %s, %s, %s, %s)", values))


def forget_failed(connection: Connection, before: float, most_bytes: int) -> tuple[int, bool]:
    """Drop versions that failed before a time, or else the oldest of those over the limit.

    Returns:
        Number of dropped versions, and whether there may be more to drop.
    """
    (old,) = _one(connection, "SELECT forget_failed_v1(%s, %s)", (before, FAILED_AT_ONCE))
    if old == FAILED_AT_ONCE:
        return old, True
    (over,) = _one(connection, "SELECT trim_failed_v1(%s, %s)", (most_bytes, FAILED_AT_ONCE))
    return old + over, over == FAILED_AT_ONCE


def forget_removals(connection: Connection, space_id: int, upto: int, kept_seconds: float) -> int:
    """Record the position of a space's index, and drop the removals that no follower of the collection needs.

    Removals that are younger than ``kept_seconds`` stay, for gateways that are away.
    """
    values = (space_id, upto, REMOVALS_KEPT, kept_seconds)
    return int(_one(connection, "SELECT forget_removals_v2(%s, %s, %s, %s)", values)[0])


def record_positions(connection: Connection, follower: str, positions: Mapping[int, int], kept_seconds: float) -> int:
    """Record a follower's positions, and drop removals; see ``FollowerPositions.record_positions``.

    Removals that are younger than ``kept_seconds`` stay, for gateways that are away.
    """
    return sum(
        int(
            _one(
                connection,
                "SELECT record_position_v2(%s, %s, %s, %s, %s)",
                (collection_id, follower, upto, REMOVALS_KEPT, kept_seconds),
            )[0]
        )
        for collection_id, upto in sorted(positions.items())
    )


def _one(connection: Connection, statement: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    row = connection.execute(statement, values).fetchone()
    assert row is not None
    return row
