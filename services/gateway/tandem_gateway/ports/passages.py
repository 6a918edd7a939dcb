"""Hydration: the documents of passages that a search found."""

from collections.abc import Sequence
from typing import Final, Protocol

from tandem_gateway.records.search import PassageView

NO_METADATA: Final = "{}"
"""Metadata that was left out."""


class PassageReader(Protocol):
    """Reads the passages that a search found. Its calls block."""

    def passages(
        self, passage_ids: Sequence[int], max_bytes: int | None = None, *, texts: bool = True, metadata: bool = True
    ) -> dict[int, PassageView]:
        """Return the passages that exist, with their documents, by passage id.

        Args:
            passage_ids: the passages.
            max_bytes: maximum size of their texts and metadata; None for any.
            texts: false to leave out the texts, and with them the places of the passages in them.
            metadata: false to leave out the metadata, which is then ``NO_METADATA``.

        Raises:
            TooManyBytes: their texts and metadata take more than ``max_bytes``. Reading stops at that point.
            StorageUnavailable, StorageCorrupt: the store cannot be read.
        """
        ...
