"""The catalogue: the collections of the store."""

from typing import Protocol

from tandem_gateway.records.documents import CollectionRecord


class Catalogue(Protocol):
    """Lists and deletes collections. ``IngestStore.accept`` creates them.

    Every method may raise StorageUnavailable and StorageCorrupt. ``delete_collection`` may also raise Overloaded and
    DeadlineExceeded; after DeadlineExceeded the deletion may still take effect.
    """

    async def collections(self) -> list[CollectionRecord]:
        """Return all collections, ordered by name."""
        ...

    async def delete_collection(self, collection: str) -> bool:
        """Delete a collection with all its documents, and return whether it existed.

        The collection is gone when this returns, and its name is free. The store may remove its content later. The jobs
        that wait for its documents count them as processed when the store removes them.
        """
        ...
