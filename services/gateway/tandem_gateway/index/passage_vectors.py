"""Reads the vectors of passages from the store, and caches the recent ones.

Nothing here is thread-safe, as in ``retrieval``.
"""

from collections.abc import Collection, Mapping

from tandem_gateway.index.indexes import Indexes
from tandem_gateway.index.lru import ByteLimitedCache
from tandem_gateway.ports.change_log import IndexFeed

# Size of the cache. A cached vector costs a tenth of one that is read and checksummed.
_CACHE_BYTES = 1 << 20
# Estimated size of Python's objects around a cached vector.
_OVERHEAD_BYTES = 200


class PassageVectors:
    """Vectors in the spaces that serve: float32, little-endian."""

    def __init__(self, indexes: Indexes, feed: IndexFeed) -> None:
        """Begin with an empty cache.

        Args:
            indexes: knows the spaces that serve.
            feed: reads vectors.
        """
        self._indexes = indexes
        self._feed = feed
        self._cache: ByteLimitedCache[bytes] = ByteLimitedCache(
            _CACHE_BYTES, lambda vector: len(vector) + _OVERHEAD_BYTES
        )
        """Vectors in the spaces that serve as of the catalogue's version ``_catalogue``."""
        self._catalogue: int | None = None

    def read(self, by_space: Mapping[int, Collection[int]]) -> dict[int, bytes]:
        """Return the vectors of passages, from the cache or the store; those that do not exist are missing.

        Args:
            by_space: the passages in each space; the spaces are those that serve as of the last ``follow``.
        """
        found: dict[int, bytes] = {}
        for space_id, passage_ids in by_space.items():
            vectors, missing = self.known(passage_ids)
            found.update(vectors)
            if missing:
                for passage_id, vector in self._feed.vectors(space_id, sorted(missing)).items():
                    found[passage_id] = vector
                    self._cache.keep(passage_id, vector)
        return found

    def of_collection(self, collection: str, passage_ids: Collection[int]) -> dict[int, bytes]:
        """Return the vectors of passages of a collection, as ``read`` does."""
        self._indexes.follow()
        space_id = self._indexes.space(collection)
        return {} if space_id is None else self.read({space_id: passage_ids})

    def known(self, passage_ids: Collection[int]) -> tuple[dict[int, bytes], list[int]]:
        """Return the cached vectors of passages, and the passages without one.

        A passage has other vectors once its collection has switched to another space.
        """
        if self._catalogue != self._indexes.catalogue:
            self._catalogue = self._indexes.catalogue
            self._cache.clear()
        return self._cache.look_up(passage_ids)
