"""How long the store keeps what nobody needs any more."""

from typing import Protocol


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

        Returns:
            How many were deleted. Unfinished jobs stay.
        """
        ...
