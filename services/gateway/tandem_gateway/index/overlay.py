"""Vectors that every query is compared with: an exact search, for what no graph holds or finds."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tandem_gateway.model import Keys, Vectors

Scores = npt.NDArray[np.float64]
"""``(n,) float64``: cosines of unit vectors, rounded to ``SCORE_DECIMALS``."""

SCORE_DECIMALS: Final = 6
"""Digits of a score after the point. Vectors are float32 with about seven digits, and a text that is embedded twice
differs by some 1e-8; scores that are equal in these digits are ties."""

# Twice the error of a product in float32, and the step of a rounded score: what is this far under the last score that
# counts cannot be a tie with it.
_FLOAT32_MARGIN: Final = 3e-6
_FIRST_CAPACITY: Final = 64
_BLOCK_ROWS: Final = 2048
# A product of two matrices copies the larger one into another order first, which pays from so many queries on: for
# 1,400 vectors one query takes 33 us by itself, two take 300 us in one product and 16 take 425 us.
_MANY_QUERIES: Final = 12
# So many more than the nearest may be handed out unsorted: all have to be scored again, with the text of their rows.
_SPARE: Final = 32


def exact_scores(vectors: Vectors, query: Vectors) -> Scores:
    """Return the cosine of each row with a query.

    The products are summed in float64, so that a row has the same score whichever other rows it is computed with.

    Args:
        vectors: ``(n, dim) float32``, rows of unit length.
        query: ``(dim,) float32`` of unit length.
    """
    products = vectors.astype(np.float64) @ query.astype(np.float64)
    # Rounding errors take the cosine of a vector with itself over 1; adding 0.0 turns -0.0 into 0.0.
    scores: Scores = np.clip(np.round(products, SCORE_DECIMALS), -1.0, 1.0) + 0.0
    return scores


class ExactOverlay:
    """Keys and their vectors in one array; used by one thread at a time."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._count = 0
        self._keys: Keys = np.empty(_FIRST_CAPACITY, np.uint64)
        self._vectors: Vectors = np.empty((_FIRST_CAPACITY, dim), np.float32)
        self._places: dict[int, int] = {}

    @property
    def dim(self) -> int:
        """Length of its vectors."""
        return self._dim

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: int) -> bool:
        return key in self._places

    def keys(self) -> Keys:
        """Return every key, in no order; a copy."""
        return self._keys[: self._count].copy()

    def vectors(self, keys: Sequence[int]) -> Vectors:
        """Return the vectors of keys that are there, ``(n, dim) float32``."""
        return self._vectors[[self._places[key] for key in keys]]

    def add(self, keys: Keys, vectors: Vectors) -> int:
        """Add vectors, and return how many keys are new; a key that is there already keeps its vector.

        Args:
            keys: ``(n,) uint64``.
            vectors: ``(n, dim) float32``, rows of unit length.
        """
        self._reserve(self._count + len(keys))
        before = self._count
        for key, vector in zip(keys.tolist(), vectors, strict=True):
            if key in self._places:
                continue
            self._keys[self._count] = key
            self._vectors[self._count] = vector
            self._places[key] = self._count
            self._count += 1
        return self._count - before

    def remove(self, key: int) -> bool:
        """Remove a key, and return whether it was there."""
        place = self._places.pop(key, None)
        if place is None:
            return False
        last = self._count - 1
        if place != last:  # the last row takes its place
            self._keys[place] = self._keys[last]
            self._vectors[place] = self._vectors[last]
            self._places[int(self._keys[last])] = place
        self._count = last
        return True

    def search(self, queries: Vectors, count: int) -> list[tuple[Keys, Vectors]]:
        """Return for each query the keys among which its nearest ``count`` are, with their cosines, in no order.

        The cosines are float32's, and may be wrong by some 1e-7. So there are more keys than ``count`` where others are
        that near to the last. Of many more, the nearest ``count`` by ``exact_scores`` are left, ties by ascending key.

        Args:
            queries: ``(m, dim) float32``, rows of unit length.
            count: at least 1.
        """
        if not self._count:
            return [(np.empty(0, np.uint64), np.empty(0, np.float32)) for _ in queries]
        products = self._products(queries)
        if count >= self._count:
            return [(self.keys(), row) for row in products]
        # Each of these calls is one for all queries: it lets go of the interpreter's lock, and has to wait for it.
        last = self._count - count
        least = np.partition(products, last, axis=1)[:, last] - _FLOAT32_MARGIN
        rows, places = np.nonzero(products >= least[:, None])
        ends = np.searchsorted(rows, np.arange(len(queries) + 1)).tolist()
        found = []
        for row, query in enumerate(queries):
            near = places[ends[row] : ends[row + 1]]
            if len(near) > count + _SPARE:
                near = self._nearest(query, near, count)
            found.append((self._keys[near], products[row, near]))
        return found

    def _products(self, queries: Vectors) -> Vectors:
        """Return the cosines of each query with every vector, ``(m, n) float32``."""
        vectors = self._vectors[: self._count]
        if len(queries) >= _MANY_QUERIES:
            return queries @ vectors.T
        products = np.empty((len(queries), self._count), np.float32)
        for query, row in zip(queries, products, strict=True):
            np.dot(vectors, query, out=row)
        return products

    def _nearest(self, query: Vectors, places: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.intp]:
        # In blocks: among many equal vectors, all of them are candidates.
        scores = np.concatenate(
            [
                exact_scores(self._vectors[places[start : start + _BLOCK_ROWS]], query)
                for start in range(0, len(places), _BLOCK_ROWS)
            ]
        )
        return places[np.lexsort((self._keys[places], -scores))[:count]]

    def _reserve(self, rows: int) -> None:
        capacity = len(self._keys)
        if rows <= capacity:
            return
        while capacity < rows:
            capacity += max(_FIRST_CAPACITY, capacity // 2)
        keys, vectors = np.empty(capacity, np.uint64), np.empty((capacity, self._dim), np.float32)
        keys[: self._count] = self._keys[: self._count]
        vectors[: self._count] = self._vectors[: self._count]
        self._keys, self._vectors = keys, vectors
