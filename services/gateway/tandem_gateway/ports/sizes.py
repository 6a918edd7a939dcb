"""Ports of the sizes of collections."""

from typing import Final, Protocol

from tandem_gateway.records.sizes import IndexPosition, StoredSize

SAMPLED_DOCUMENTS: Final = 500
"""``stored_size`` measures at most so many versions of documents; of a larger collection it estimates the size."""
MEASURED_SECONDS: Final = 0.02
"""``stored_size`` measures no more documents after this time: reads of other callers wait for it."""
COUNTED_CHANGES: Final = 100_000
"""``stored_size`` counts at most so many additions, and as many removals."""


class StoredSizes(Protocol):
    """Tells what the store holds of a collection, at a cost that does not grow with the collection."""

    async def stored_size(self, collection: str, added: int, removed: int) -> StoredSize | None:
        """Return the size of a collection in the store; None if there is no such collection.

        The size is that of the texts, metadata, ids and vectors. If there are more versions than
        ``SAMPLED_DOCUMENTS``, or measuring takes longer than ``MEASURED_SECONDS``, the size is estimated: the first and
        last versions in the order of their ids stand for all. Later changes are counted up to a limit.

        Args:
            collection: its name.
            added: counts the passages whose vectors were added after this change.
            removed: counts the passages that were removed after this change.

        Raises:
            StorageUnavailable, StorageCorrupt: the store cannot be read.
        """
        ...


class IndexSizes(Protocol):
    """Tells what the vector index holds of a collection."""

    async def size(self, collection: str, *, timeout: float) -> IndexPosition | None:
        """Return what the index holds now, without catching up; None if it does not know the collection.

        Raises:
            NotReady: the index is not loaded.
            DeadlineExceeded: the index did not answer within ``timeout`` seconds.
        """
        ...
