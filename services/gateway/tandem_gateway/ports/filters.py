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

    @property
    def bytes(self) -> int:
        """Estimated memory of the index in bytes, after its last answer; any thread may read it."""
        ...

    def bytes_of(self, collection_id: int) -> int:
        """Return the estimated memory of a collection in bytes, after the last answer; any thread may call it."""
        ...

    async def matching(self, collection: str, condition: Filter, *, timeout: float) -> Keys:
        """Return the documents that match, as the ids of their first passages, ascending, ``(n,) uint64``.

        Do not change the array. The answer includes everything that was committed before the call. It has documents
        that still wait for their vectors, too. Two calls return the same object if nothing has changed in between.

        Args:
            collection: name of the collection.
            condition: the filter; it looks at the metadata of each version of a document.
            timeout: deadline, in seconds.

        Raises:
            NotFound: the collection does not exist.
            NotReady: the metadata was not read within ``timeout``. The index keeps what it has read until then.
            Overloaded: too many calls wait.
            StorageUnavailable, StorageCorrupt: the store cannot be read.
        """
        ...


class MetadataLog(Protocol):
    """The metadata of the store's documents, and their removals. Its calls block.

    The first passage of a document's version stands for it. Passage ids only grow, and the metadata behind a passage id
    never changes: the passages of a document whose metadata changes get new ids.

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
        """Return the collection's documents whose first passage has an id above ``after`` and up to ``upto``, in order.

        A document is the id of its first passage, and its metadata. Pending documents are among them.

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
