"""A cache of the passages that searches return."""

from collections.abc import Iterable

import msgspec

from tandem_gateway.index.lru import ByteLimitedCache
from tandem_gateway.ports.passages import PassageReader
from tandem_gateway.records.search import PassageView
from tandem_runtime.memory import memory_bytes, utf8_bytes

# Estimated size of Python's objects around the values of a passage.
_OVERHEAD_BYTES = 600


class PassageCache:
    """Reads passages through a cache. One thread at a time may use it."""

    def __init__(self, capacity: int) -> None:
        """Make an empty cache; ``capacity`` is the approximate maximum in bytes."""
        self._cache: ByteLimitedCache[PassageView] = ByteLimitedCache(capacity, bytes_of)

    def kept(self, passage_ids: Iterable[int]) -> dict[int, PassageView] | None:
        """Return the passages if all of them are cached, else None. Reads nothing from the store."""
        found, missing = self._cache.look_up(passage_ids)
        return None if missing else found

    def get(
        self, passage_ids: Iterable[int], reader: PassageReader, max_bytes: int, *, texts: bool = True
    ) -> dict[int, PassageView]:
        """Return passages from the cache or the store, by id. Passages that the store does not have are missing.

        Args:
            passage_ids: the passages.
            reader: reads what the cache lacks.
            max_bytes: maximum size of all texts and metadata.
            texts: false to leave out the texts; see ``PassageReader.passages``. The cache then keeps nothing.

        Raises:
            TooManyBytes: if the passages' documents take more than ``max_bytes``.
            StorageError: as ``PassageReader.passages`` does.
        """
        found, missing = self._cache.look_up(passage_ids)
        if not texts:
            found = {passage_id: _without_text(passage) for passage_id, passage in found.items()}
        if missing:
            taken = sum(utf8_bytes(passage.text) + utf8_bytes(passage.metadata) for passage in found.values())
            for passage_id, passage in reader.passages(sorted(missing), max_bytes - taken, texts=texts).items():
                found[passage_id] = passage
                if texts and passage.live:
                    self._cache.keep(passage_id, passage)
        return found


def _without_text(passage: PassageView) -> PassageView:
    return msgspec.structs.replace(passage, text="", passages=None)


def bytes_of(passage: PassageView) -> int:
    """Return the approximate memory of a passage in bytes; always the same for one passage."""
    places = 8 * len(passage.passages) if passage.passages is not None else 0
    return memory_bytes(passage.text) + memory_bytes(passage.metadata) + places + _OVERHEAD_BYTES
