"""The catalogue: the collections of the store."""

from typing import Protocol

from tandem_gateway.records.documents import CollectionChange, CollectionRecord


class Catalogue(Protocol):
    """Lists, creates, changes and deletes collections. ``IngestStore.accept`` creates them, too.

    Every method may raise StorageUnavailable and StorageCorrupt. ``put_collection`` and ``delete_collection`` may also
    raise Overloaded and DeadlineExceeded; after DeadlineExceeded the write may still take effect.
    """

    async def collections(self) -> list[CollectionRecord]:
        """Return all collections, ordered by name."""
        ...

    async def put_collection(self, collection: str, change: CollectionChange) -> CollectionRecord:
        """Create a collection or change its settings, and return it.

        Raises:
            Conflict: the collection cannot have these settings; see ``CollectionChange.check``.
            InvalidRequest: the collection is new and the limit on collections is reached.
        """
        ...

    async def delete_collection(self, collection: str) -> bool:
        """Delete a collection with all its documents, and return whether it existed.

        The collection is gone when this returns, and its name is free. The store may remove its content later. The jobs
        that wait for its documents count them as processed when the store removes them.
        """
        ...
