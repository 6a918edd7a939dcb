"""The log of the store's texts, which the keyword index follows, and the record of its positions."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Protocol

from tandem_gateway.ports.passages import PassageReader
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.texts import Removals, Texts

KEYWORDS = "keywords"
"""The name under which the keyword index follows the removals of each collection."""


class TextLog(Protocol):
    """The texts of the store, and their removals. Its calls block.

    The first passage of a document stands for its whole text; the other passages are no texts of the log. Passage ids
    only grow, and a text never changes. The texts after an id and the removals after a change are therefore all that
    is new.

    Every method may raise StorageUnavailable and StorageCorrupt.
    """

    def reading(self) -> AbstractContextManager[None]:
        """Let all calls in the body see one state of the store: the state at the first call."""
        ...

    def version(self) -> int:
        """Return a number that differs after each commit; cheap. Outside of ``reading``, it is of the latest commit."""
        ...

    def store_id(self) -> str:
        """Return the store's random id. An index with another id belongs to another store."""
        ...

    def collections(self) -> list[CollectionRecord]:
        """Return all collections."""
        ...

    def collection(self, name: str) -> CollectionRecord | None:
        """Return the collection with this name; None if there is none."""
        ...

    def last_change(self) -> int:
        """Return the highest change number."""
        ...

    def changed_spaces(self, after: int) -> list[int]:
        """Return the ids of the spaces that have changes with a higher number than ``after``."""
        ...

    def last_passage(self) -> int:
        """Return the highest passage id that was ever given."""
        ...

    def texts(self, after: int, *, limit: int, max_chars: int) -> Texts:
        """Return the texts of all collections with a higher id than ``after``, including pending ones, in order.

        Args:
            after: a passage id, or 0.
            limit: maximum number of passages to read, texts or not.
            max_chars: the page ends with the text that brings it to this many characters.
        """
        ...

    def removals(self, collection_id: int, *, after: int, limit: int) -> Removals:
        """Return the removals of a collection with a higher change number than ``after``, in order.

        Removals of passages that are no texts are among them.

        Args:
            collection_id: of an existing collection.
            after: a change number, or 0.
            limit: maximum number of removals.
        """
        ...

    def findable(self, passage_ids: Sequence[int]) -> set[int]:
        """Return the texts that keyword search may show: those of live documents, and of new pending ones."""
        ...

    def passage_count(self, collection_id: int) -> int:
        """Return how many texts a collection has, including pending ones. Reads all of them in an index."""
        ...

    def text_ids(self, collection_id: int) -> Keys:
        """Return the ids of a collection's texts, including pending ones, ``(n,) uint64``."""
        ...

    def close(self) -> None:
        """Release the reader's resources."""
        ...


class TextFeed(TextLog, PassageReader, Protocol):
    """What the thread that owns the keyword index reads from the store."""


class FollowerPositions(Protocol):
    """Records how far an index has followed the removals, so that the store deletes those that no index needs."""

    def record_positions(self, follower: str, positions: Mapping[int, int]) -> Future[int]:
        """Record that a follower needs no removals up to a change number; any thread may call it.

        A follower that was never recorded for a collection keeps no removals of it.

        Args:
            follower: name of the follower.
            positions: collection → change number. Collections that do not exist are skipped.

        Returns:
            A future of the number of removals that were deleted, set once the write is on disk. It may fail with a
            StorageError.

        Raises:
            Overloaded: too many writes wait for the disk.
            StorageUnavailable: the store is closed.
        """
        ...
