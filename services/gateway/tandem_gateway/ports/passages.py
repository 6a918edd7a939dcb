"""Hydration: the documents of passages that a search found."""

from collections.abc import Sequence
from typing import Protocol

from tandem_gateway.records.search import PassageView


class PassageReader(Protocol):
    """Reads the passages that a search found. Its calls block."""

    def passages(self, passage_ids: Sequence[int], max_bytes: int | None = None) -> dict[int, PassageView]:
        """Return the passages that exist, with their documents, by passage id.

        Raises:
            TooManyBytes: their texts and metadata take more than ``max_bytes``. Reading stops at that point.
            StorageUnavailable, StorageCorrupt: the store cannot be read.
        """
        ...
