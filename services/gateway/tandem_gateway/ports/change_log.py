"""The log of the store's changes, which the indexes follow."""

from collections.abc import Sequence
from typing import Protocol

from tandem_gateway.ports.passages import PassageReader
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.index import Changes, Spaces
from tandem_gateway.records.search import FirstPassage


class ChangeLog(Protocol):
    """The changes of the store, and the vectors. Its calls block.

    Every method may raise StorageUnavailable and StorageCorrupt.
    """

    def version(self) -> int:
        """Return a number that differs after each commit; cheap. The caller compares it with the one it saw last."""
        ...

    def store_id(self) -> str:
        """Return the store's random id. A snapshot with another id belongs to another store."""
        ...

    def collections(self) -> list[CollectionRecord]:
        """Return all collections."""
        ...

    def spaces(self) -> Spaces:
        """Return the spaces of all collections, of one state of the store."""
        ...

    def catalogue(self) -> int:
        """Return a number that grows when a collection or space appears, gets a model or another state, or goes."""
        ...

    def last_change(self) -> int:
        """Return the highest change number."""
        ...

    def changed_spaces(self, after: int) -> list[int]:
        """Return the ids of the spaces that have changes with a higher number than ``after``."""
        ...

    def changes(self, collection: CollectionRecord, *, after: int, removals_after: int, limit: int) -> Changes | None:
        """Return the changes of a collection whose dimension is known.

        Args:
            collection: a record that ``collections`` returned.
            after: return additions with a higher change number, oldest first.
            removals_after: return removals with a higher change number, up to the last addition returned.
            limit: maximum number of additions.

        Returns:
            None if the store has already deleted some of these removals; the index must then be rebuilt.
        """
        ...

    def vectors(self, space_id: int, passage_ids: Sequence[int]) -> dict[int, bytes]:
        """Return the vectors of passages in a space, by passage id.

        A vector is float32, little-endian. Passages that no index has to hold are missing.
        """
        ...

    def vectors_after(self, space_id: int, change: int) -> int:
        """Return how many vectors the index of a space gets with changes after a change number."""
        ...

    def later_passages(self, space_id: int) -> tuple[Keys, Keys]:
        """Return the passages of a space's collection that are not the first of their document, in no order.

        Pending documents are among them.

        Returns:
            The ids of the passages, and for each the first passage of its document: twice ``(n,) uint64``.
        """
        ...

    def passage_ids(self, space_id: int) -> Keys:
        """Return the ids of the passages that the index of a space has to hold."""
        ...

    def close(self) -> None:
        """Release the reader's resources."""
        ...


class IndexFeed(ChangeLog, PassageReader, Protocol):
    """What the thread that owns the indexes reads from the store."""

    def first_passage(self, collection_id: int, doc_id: str) -> FirstPassage | None:
        """Return the first passage of a document's live version or, without one, of its pending version.

        None if there is no such document. It raises as the methods of ``ChangeLog`` do.
        """
        ...
