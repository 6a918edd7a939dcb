"""A cache of the passages that searches return."""

from collections.abc import Iterable

import msgspec

from tandem_gateway.index.lru import ByteLimitedCache
from tandem_gateway.ports.passages import NO_METADATA, PassageReader
from tandem_gateway.records.search import PassageView
from tandem_runtime.memory import memory_bytes, utf8_bytes

# Estimated size of Python's objects around the values of a passage.
_OVERHEAD_BYTES = 600


class PassageCache:
    """Reads passages through a cache. One thread at a time may use it."""

    def __init__(self, capacity: int) -> None:
        """Make an empty cache; ``capacity`` is the approximate maximum in bytes."""
        self._cache: ByteLimitedCache[PassageView] = ByteLimitedCache(capacity, bytes_of)

    def kept(self, passage_ids: Iterable[int], *, metadata: bool = True) -> dict[int, PassageView] | None:
        """Return the passages if all of them are cached, else None. Reads nothing from the store."""
        found, missing = self._look_up(passage_ids, metadata=metadata)
        return None if missing else found

    def get(
        self,
        passage_ids: Iterable[int],
        reader: PassageReader,
        max_bytes: int,
        *,
        texts: bool = True,
        metadata: bool = True,
    ) -> dict[int, PassageView]:
        """Return passages from the cache or the store, by id. Passages that the store does not have are missing.

        Args:
            passage_ids: the passages.
            reader: reads what the cache lacks.
            max_bytes: maximum size of all texts and metadata.
            texts: false to leave out the texts; see ``PassageReader.passages``. The cache then keeps nothing.
            metadata: false to leave out the metadata.

        Raises:
            TooManyBytes: if the passages' documents take more than ``max_bytes``.
            StorageError: as ``PassageReader.passages`` does.
        """
        found, missing = self._look_up(passage_ids, metadata=metadata)
        if not texts:
            found = {passage_id: _without_text(passage) for passage_id, passage in found.items()}
        if missing:
            taken = sum(utf8_bytes(passage.text) + utf8_bytes(passage.metadata) for passage in found.values())
            most = max_bytes - taken
            for passage_id, passage in reader.passages(sorted(missing), most, texts=texts, metadata=metadata).items():
                found[passage_id] = passage
                if texts and passage.live:
                    self._cache.keep(passage_id if metadata else _bare(passage_id), passage)
        return found

    def _look_up(self, passage_ids: Iterable[int], *, metadata: bool) -> tuple[dict[int, PassageView], list[int]]:
        """Return the cached passages by id, and the other ids."""
        found, missing = self._cache.look_up(passage_ids)
        if metadata:
            return found, missing
        found = {passage_id: _without_metadata(passage) for passage_id, passage in found.items()}
        bare, _ = self._cache.look_up(map(_bare, missing))
        found.update((_bare(key), passage) for key, passage in bare.items())
        return found, [passage_id for passage_id in missing if passage_id not in found]


def _bare(passage_id: int) -> int:
    """Return the key of a passage that was read without its metadata, or the passage of such a key."""
    return -passage_id


def _without_metadata(passage: PassageView) -> PassageView:
    return msgspec.structs.replace(passage, metadata=NO_METADATA)


def _without_text(passage: PassageView) -> PassageView:
    return msgspec.structs.replace(passage, text="", passages=None)


def bytes_of(passage: PassageView) -> int:
    """Return the approximate memory of a passage in bytes; always the same for one passage."""
    places = 8 * len(passage.passages) if passage.passages is not None else 0
    return memory_bytes(passage.text) + memory_bytes(passage.metadata) + places + _OVERHEAD_BYTES
