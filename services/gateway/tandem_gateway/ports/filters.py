"""Ports of filtered search: the index that answers filters, and the part of the store that it follows."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from tandem_gateway.filters.tree import Filter
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.texts import Removals


class FilterIndex(Protocol):
    """Finds the passages whose documents match a filter. It is a cache derived from the store, which it follows."""

    async def matching(self, collection: str, condition: Filter, *, timeout: float) -> Keys:
        """Return the ids of the passages that match, ascending, ``(n,) uint64``; do not change the array.

        The answer includes everything that was committed before the call. It has passages of documents that still wait
        for their vectors, too. Two calls return the same object if nothing has changed in between.

        Args:
            collection: name of the collection.
            condition: the filter; it looks at the metadata of the document's version that the passage belongs to.
            timeout: deadline, in seconds.

        Raises:
            NotFound: the collection does not exist.
            NotReady: the metadata was not read within ``timeout``. The index keeps what it has read until then.
            Overloaded: too many calls wait.
            StorageUnavailable, StorageCorrupt: the store cannot be read.
        """
        ...


class MetadataLog(Protocol):
    """The passages of the store with their documents' metadata, and their removals. Its calls block.

    Passage ids only grow, and a passage's metadata never changes.

    Every method may raise StorageUnavailable and StorageCorrupt.
    """

    def reading(self) -> AbstractContextManager[None]:
        """Let all calls in the body see one state of the store: the state at the first call."""
        ...

    def version(self) -> int:
        """Return a number that differs after each commit; cheap."""
        ...

    def collection(self, name: str) -> CollectionRecord | None:
        """Return the collection with this name; None if there is none."""
        ...

    def collections(self) -> list[CollectionRecord]:
        """Return all collections."""
        ...

    def last_change(self) -> int:
        """Return the highest change number."""
        ...

    def last_passage(self) -> int:
        """Return the highest passage id that was ever given."""
        ...

    def metadata(self, collection_id: int, after: int, upto: int) -> Sequence[tuple[int, str]]:
        """Return the collection's passages with an id above ``after`` and up to ``upto``, with metadata, in order.

        Passages of pending documents are among them.

        Raises:
            StorageCorrupt: the checksum of a document is wrong.
        """
        ...

    def removals(self, collection_id: int, *, after: int, limit: int) -> Removals:
        """Return the removals of a collection; see ``TextLog.removals``."""
        ...

    def close(self) -> None:
        """Release the reader's resources."""
        ...
