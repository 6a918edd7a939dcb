"""How long the store keeps what nobody needs any more."""

from typing import Final, Protocol

LISTED_BYTES: Final = 256 << 20
"""Maximum size of the lists of jobs' documents; those of unfinished jobs may take more. A list has the ids and some 70
bytes for each document."""


class Retention(Protocol):
    """Deletes finished jobs, and the removals that every index has applied.

    Every method may raise StorageUnavailable, StorageCorrupt, Overloaded and DeadlineExceeded; after DeadlineExceeded
    the write may still take effect.
    """

    async def forget_removals(self, space_id: int, upto: int) -> int:
        """Record that the index of a space needs no removals up to a change number, and delete what no index needs.

        Returns:
            How many were deleted; 0 for a space that does not exist.
        """
        ...

    async def forget_jobs(self, before: float) -> int:
        """Delete jobs that finished before ``before`` (seconds since the epoch), and those over the store's limit.

        If the lists of jobs' documents exceed ``LISTED_BYTES``, also delete those of finished jobs, the oldest first.

        Returns:
            How many were deleted. Unfinished jobs stay.
        """
        ...

    async def forget_failed(self, before: float) -> int:
        """Drop the failed documents that are kept for a retry and failed before ``before`` (seconds since the epoch).

        Of the others, drop the oldest while all exceed the store's limit in bytes.

        Returns:
            How many were dropped.
        """
        ...
