"""The vector index: usearch's HNSW graph. The only module that imports usearch.

Vectors are kept as float16, which halves their memory; the scores that clients see are computed anew, in float32,
from the stored vectors, so that only the choice of candidates is approximate.
"""

from pathlib import Path

import numpy as np
import usearch
from usearch.index import Index, Matches

from tandem_gateway.model import Keys, Vectors

_CONNECTIVITY = 16
_EXPANSION_ADD = 128
_EXPANSION_SEARCH = 96
_DTYPE = "f16"
# Under this many vectors a scan of all costs about as much as the graph, and misses nothing.
_EXACT_BELOW = 3000


def _empty(dim: int) -> Index:
    # Rows have unit length, so that the inner product is the cosine, without its divisions.
    return Index(
        ndim=dim,
        metric="ip",
        dtype=_DTYPE,
        connectivity=_CONNECTIVITY,
        expansion_add=_EXPANSION_ADD,
        expansion_search=_EXPANSION_SEARCH,
    )


class UsearchIndex:
    """Implements ``VectorIndex``. Every call runs single-threaded: more threads may strand nodes while adding."""

    def __init__(self, index: Index) -> None:
        self._index = index

    @property
    def dim(self) -> int:
        """Length of its vectors."""
        return int(self._index.ndim)

    def __len__(self) -> int:
        return len(self._index)

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors; see ``VectorIndex.add``.

        Raises:
            ValueError: for another shape or numbers that are not finite, which usearch takes without a word.
        """
        if vectors.shape != (len(keys), self.dim):
            raise ValueError(f"vectors are {vectors.shape}, not {(len(keys), self.dim)}")
        if not np.isfinite(vectors).all():
            raise ValueError("a vector holds numbers that are not finite")
        if len(keys) == 0:
            return
        absent = ~np.asarray(self._index.contains(keys))
        if not absent.all():
            keys, vectors = keys[absent], vectors[absent]
        if len(keys):
            self._index.add(keys, np.ascontiguousarray(vectors), threads=1)

    def remove(self, keys: Keys) -> int:
        """Remove keys; see ``VectorIndex.remove``."""
        return int(self._index.remove(keys, threads=1)) if len(keys) else 0

    def search(self, queries: Vectors, count: int) -> list[Keys]:
        """Return the nearest keys of each query; see ``VectorIndex.search``."""
        held = len(self._index)
        if held == 0 or len(queries) == 0:
            return [np.empty(0, np.uint64) for _ in queries]
        matches = self._index.search(queries, min(count, held), threads=1, exact=held < _EXACT_BELOW)
        if isinstance(matches, Matches):  # usearch answers a batch of one without its counts
            return [np.asarray(matches.keys, np.uint64).reshape(-1)]
        return [np.asarray(keys[:found], np.uint64) for keys, found in zip(matches.keys, matches.counts, strict=True)]

    def keys(self) -> Keys:
        """Return every key."""
        return np.asarray(self._index.keys, np.uint64)

    def save(self, path: Path) -> None:
        """Write it to a file; holds the interpreter's lock for its whole length."""
        self._index.save(str(path))


class UsearchIndexFactory:
    """Implements ``VectorIndexFactory``."""

    def create(self, dim: int) -> UsearchIndex:
        """Return an empty index."""
        return UsearchIndex(_empty(dim))

    def load(self, path: Path, dim: int) -> UsearchIndex:
        """Return the index in a verified file; see ``VectorIndexFactory.load``."""
        index = _empty(dim)
        try:
            index.load(str(path))
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        if int(index.ndim) != dim:
            raise ValueError(f"{path.name} holds vectors of {index.ndim} numbers, not {dim}")
        return UsearchIndex(index)

    def description(self) -> str:
        """Return what a saved index depends on."""
        return f"usearch {usearch.__version__} ip {_DTYPE} M={_CONNECTIVITY} efc={_EXPANSION_ADD}"
